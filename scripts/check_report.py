"""Checks a page of `topfive train` or `topfive eval --report` in headless Chromium.

    python3 scripts/check_report.py PAGE.html [SCREENSHOTS]

At 400, 900 and 1600 pixels, light and dark: the console is empty, nothing is requested, nothing is wider than the page,
no two texts or pictures overlap, no text is cut. Once: headings descend by one level at a time, pictures and tables
describe themselves, every control can be reached by keyboard, columns are sorted by their buttons, text has a contrast of
at least 4.5, and the page reads the same without its script. Leaves screenshots and the printed page (PDF) in the folder
SCREENSHOTS. Prints what is wrong, and fails if anything is.

Run with Selenium 4 and Chromium with its driver.
"""

import base64
import json
import pathlib
import shutil
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.common.by import By

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]

# What sticks out of the page, overlaps or is cut. A box that scrolls may hold more than it shows.
LAYOUT = """
const wrong = [];
const name = (e) => e.tagName.toLowerCase() + (e.className.baseVal ?? e.className ? "." + (e.className.baseVal ?? e.className) : "")
  + " '" + (e.textContent || e.alt || "").trim().slice(0, 40) + "'";
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width) wrong.push(`page is ${document.documentElement.scrollWidth} wide of ${width}`);
const scrolls = (e) => e.closest(".scroll, .hidden") || e.closest("details:not([open]) > :not(summary)");
const all = [...document.querySelectorAll("body *:not(script):not(style)")];
const shown = all.filter((e) => !scrolls(e) && e.getClientRects().length);
for (const e of shown) {
  const r = e.getBoundingClientRect();
  if (r.right > width + 1 || r.left < -1) wrong.push(`sticks out: ${name(e)} ${r.left}..${r.right}`);
  if (!e.closest("svg") && e.scrollWidth > e.clientWidth + 1 && e.clientWidth && getComputedStyle(e).overflowX !== "visible")
    wrong.push(`cut: ${name(e)}`);
}
// Leaves: what is read or looked at. Texts of pictures are compared within their picture.
const leaves = (root, kinds) => [...root.querySelectorAll(kinds)].filter((e) => e.getClientRects().length && !e.closest("details:not([open]) > :not(summary)"));
const overlap = (elements, frame) => {
  const boxes = elements.map((e) => [e, e.getBoundingClientRect()]).sort((a, b) => a[1].top - b[1].top);
  for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length && boxes[j][1].top < boxes[i][1].bottom - 2; j++) {
    const [[a, p], [b, q]] = [boxes[i], boxes[j]];
    if (a.contains(b) || b.contains(a)) continue;
    if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > 2 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 2)
      wrong.push(`overlap in ${frame}: ${name(a)} and ${name(b)}`);
  }
};
overlap(leaves(document.body, "h1, h2, h3, p, li, figcaption, img, svg, table, pre, summary").filter((e) => !e.closest(".scroll") && !e.closest("td")), "page");
for (const table of document.querySelectorAll("table")) if (table.rows.length < 60) overlap(leaves(table, "th, td").filter((e) => getComputedStyle(e).position !== "sticky"), "table");
for (const svg of document.querySelectorAll("svg")) {
  const frame = svg.getBoundingClientRect();
  const texts = leaves(svg, "text");
  overlap(texts, "chart");
  for (const e of texts) {
    const r = e.getBoundingClientRect();
    if (r.left < frame.left - 1 || r.right > frame.right + 1 || r.top < frame.top - 1 || r.bottom > frame.bottom + 1) wrong.push(`cut: ${name(e)}`);
  }
}
for (const e of document.querySelectorAll("img")) if (!e.complete || !e.naturalWidth) wrong.push(`not shown: ${name(e)}`);
return wrong;
"""

# What a screen reader and a keyboard need.
ACCESS = """
const wrong = [];
let level = 0;
for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
  const own = Number(h.tagName[1]);
  if (own > level + 1) wrong.push(`heading skips a level: ${h.textContent}`);
  level = own;
}
if (document.querySelectorAll("h1").length !== 1) wrong.push("expected one h1");
if (!document.documentElement.lang || !document.title) wrong.push("no language or title");
for (const e of document.querySelectorAll("img")) if (!e.alt) wrong.push("img without alt");
for (const e of document.querySelectorAll("svg")) if (e.getAttribute("role") !== "img" || !e.getAttribute("aria-label")) wrong.push("svg without a description");
for (const e of document.querySelectorAll("table")) if (!e.caption) wrong.push("table without caption");
for (const e of document.querySelectorAll("th")) if (!e.scope) wrong.push(`th without scope: ${e.textContent}`);
for (const e of document.querySelectorAll("[id]")) if (document.querySelectorAll("#" + CSS.escape(e.id)).length > 1) wrong.push(`id twice: ${e.id}`);
for (const e of document.querySelectorAll("a")) if (!document.getElementById(e.hash.slice(1))) wrong.push(`link to nowhere: ${e.href}`);
for (const e of document.querySelectorAll("[aria-labelledby]")) if (!document.getElementById(e.getAttribute("aria-labelledby"))) wrong.push("label missing");
for (const e of document.querySelectorAll(".scroll")) if (e.tabIndex !== 0 || !e.getAttribute("aria-label")) wrong.push("a scrolling box that no key reaches");
return wrong;
"""

# Colours are painted on a canvas to be read as red, green and blue, whatever notation they are in.
CONTRAST = """
const wrong = new Set();
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const paint = (colours) => {
  canvas.clearRect(0, 0, 1, 1);
  for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const light = (rgb) => {
  const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
for (const e of document.querySelectorAll("body *")) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || ["SCRIPT", "STYLE"].includes(e.tagName)) continue;
  const behind = [];
  for (let up = e; up; up = up.parentElement) behind.unshift(getComputedStyle(up).backgroundColor);
  const style = getComputedStyle(e);
  const ink = e.closest("svg") ? style.fill : style.color;
  const [a, b] = [light(paint([...behind, ink])), light(paint(behind))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < 4.5) wrong.add(`contrast ${contrast.toFixed(2)}: ${e.tagName} ${style.color} '${e.textContent.trim().slice(0, 20)}'`);
}
return [...wrong].slice(0, 10);
"""

SORTED = """
const wrong = [];
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = heading.querySelector("button");
    if (!button) return wrong.push(`no button in ${heading.textContent}`);
    for (const order of heading.classList.contains("number") ? ["descending", "ascending"] : ["ascending", "descending"]) {
      button.click();
      if (heading.getAttribute("aria-sort") !== order) wrong.push(`${heading.textContent}: not ${order}`);
      if (!heading.classList.contains("number")) continue;
      const values = [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[column].textContent) || 0);
      const sign = order === "ascending" ? 1 : -1;
      if (values.some((value, i) => i && sign * (values[i - 1] - value) > 0)) wrong.push(`${heading.textContent}: out of order`);
    }
  });
}
return wrong;
"""


def browser(folder, script=True):
    options = webdriver.ChromeOptions()
    for flag in FLAGS + [f"--user-data-dir={folder}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not script:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    # With both paths known, Selenium looks for nothing on the network.
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome")
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def requests(driver):
    """The addresses that were asked for, but for the page itself and what is inside it."""
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if not address.startswith(("data:", "file:", "chrome:", "about:")):
                yield address


def main():
    page = pathlib.Path(sys.argv[1]).resolve()
    shots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    problems = []
    size = page.stat().st_size
    if size >= 3_000_000:
        problems.append(f"{size} bytes")

    with tempfile.TemporaryDirectory() as folder:
        driver = browser(folder)
        for scheme in ["light", "dark"]:
            for width in [400, 900, 1600]:
                where = f"{width} {scheme}"
                driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
                metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                driver.get(page.as_uri())
                problems += [f"{where}: {wrong}" for wrong in driver.execute_script(LAYOUT)]
                if width == 900:
                    problems += [f"{where}: {wrong}" for wrong in driver.execute_script(CONTRAST)]
                if shots:
                    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
                    (shots / f"{width}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
                # Everything unfolded.
                driver.execute_script("document.querySelectorAll('details').forEach((it) => it.open = true)")
                problems += [f"{where}, unfolded: {wrong}" for wrong in driver.execute_script(LAYOUT)]
        problems += driver.execute_script(ACCESS) + driver.execute_script(SORTED)
        problems += [f"console: {entry['message']}" for entry in driver.get_log("browser")]
        problems += [f"request: {address}" for address in requests(driver)]
        text = driver.find_element(By.ID, "report-data").get_attribute("textContent")
        json.loads(text)
        if shots:
            driver.get(page.as_uri())
            printed = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False, "preferCSSPageSize": False})
            (shots / "print.pdf").write_bytes(base64.b64decode(printed["data"]))
        driver.quit()

    with tempfile.TemporaryDirectory() as folder:
        driver = browser(folder, script=False)
        driver.get(page.as_uri())
        if driver.find_elements(By.CSS_SELECTOR, "thead button"):
            problems.append("the script ran although scripts are off")
        if len(driver.find_element(By.TAG_NAME, "main").text) < 200:
            problems.append("without its script the page is empty")
        driver.quit()

    for problem in problems[:20]:
        print(problem)
    if problems:
        raise SystemExit(f"{page}: {len(problems)} problems, the first of them above")
    print(f"{page}: {size / 1e6:.2f} MB, nothing wrong at three widths, light and dark")


if __name__ == "__main__":
    main()
