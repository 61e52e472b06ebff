//! Published weights, fetched from a small web server of the test's own.
//!
//! Each fetch runs in a process of its own, as a user's does, with its own cache folder and without the proxies of the
//! environment that the tests run in.
#![allow(clippy::unwrap_used)]

mod common;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{Ran, Workplace};
use topfive::experiment::{Change, Experiment, builtin};
use topfive::report::Report;
use topfive::weights::published;

/// `seq 0 9999`
fn numbers() -> Vec<u8> {
    (0..10000).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

/// `seq 0 9999 | sha256sum`
const SHA256: &str = "a658f34417004048e470697bf202006272fd1e2f99bf3b9051a56fbef15a586c";

/// Any bytes with a different checksum.
const OTHER: &[u8] = b"another file";

const PROXIES: [&str; 8] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"];

/// Not a test of its own: what the other tests run in a process of its own.
#[test]
#[ignore = "the other tests run it"]
fn fetching() {
    let Ok(url) = env::var("FETCH_URL") else { return };
    let report = Report::new(false, None).unwrap();
    match published::fetch(&url, &env::var("FETCH_SHA256").unwrap(), report) {
        Ok(path) => eprintln!("fetched {}", path.display()),
        Err(error) => {
            eprintln!("{error:#}");
            std::process::exit(2);
        }
    }
}

/// A user's home with a cache folder.
struct Home(Workplace);

impl Home {
    fn new() -> Self {
        Home(Workplace::new())
    }

    fn file(&self) -> PathBuf {
        self.0.path(&format!("cache/topfive/weights/numbers-{}.txt", &SHA256[..8]))
    }

    fn part(&self) -> PathBuf {
        self.file().with_extension("txt.part")
    }

    /// Puts a file where a fetched one or a part of it would lie.
    fn put(&self, path: PathBuf, content: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn command(&self, url: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        self.prepare(&mut command, url);
        command.args(CHILD);
        command
    }

    fn prepare(&self, command: &mut Command, url: &str) {
        PROXIES.iter().for_each(|variable| {
            command.env_remove(variable);
        });
        command.env("HOME", self.0.path("home")).env("XDG_CACHE_HOME", self.0.path("cache"));
        command.env("FETCH_URL", url).env("FETCH_SHA256", &SHA256[..8]);
    }

    fn fetch(&self, url: &str) -> Ran {
        Ran::of(self.command(url).output().unwrap())
    }

    /// The file is whole and in its place, with nothing unfinished beside it.
    fn has_the_file(&self) {
        assert!(fs::read(self.file()).unwrap() == numbers());
        assert!(!self.part().exists());
    }
}

const CHILD: [&str; 4] = ["fetching", "--exact", "--ignored", "--nocapture"];

/// A web server on the loopback address with one thread, which answers one request per connection.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` gets the number of the request, counted from 0, the request's head and the connection.
    fn new(answer: impl Fn(usize, &str, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        thread::spawn(move || {
            for (count, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let head = head(&mut stream);
                seen.lock().unwrap().push(head.clone());
                answer(count, &head, &mut stream);
            }
        });
        Server { address, requests }
    }

    fn url(&self) -> String {
        format!("{}/models/numbers.txt", self.address)
    }

    /// The `Range` header of each request so far.
    fn ranges(&self) -> Vec<Option<String>> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| range(request).map(|start| format!("bytes={start}-"))).collect()
    }
}

/// A request's lines up to the empty one; input that is not HTTP (TLS) may end elsewhere.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && !head.starts_with(b"\x16") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.extend(byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// N in `Range: bytes=N-`.
fn range(request: &str) -> Option<usize> {
    let line = request.lines().find(|line| line.to_lowercase().starts_with("range:"))?;
    line.split_once("bytes=")?.1.trim().strip_suffix('-')?.parse().ok()
}

/// The head of an answer whose body has so many bytes; the client may be gone, which is its own affair.
fn start(stream: &mut TcpStream, status: &str, headers: &str, length: usize) {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    start(stream, status, headers, body.len());
    let _ = stream.write_all(body);
}

/// As a web server does that knows ranges.
fn serve(request: &str, stream: &mut TcpStream, file: &[u8]) {
    match range(request) {
        None => answer(stream, "200 OK", "", file),
        Some(first) if first < file.len() => {
            let header = format!("Content-Range: bytes {first}-{}/{}\r\n", file.len() - 1, file.len());
            answer(stream, "206 Partial Content", &header, &file[first..]);
        }
        Some(_) => {
            answer(stream, "416 Range Not Satisfiable", &format!("Content-Range: bytes */{}\r\n", file.len()), b"")
        }
    }
}

fn serving() -> Server {
    Server::new(|_, request, stream| serve(request, stream, &numbers()))
}

#[test]
fn a_file_is_fetched_into_the_cache_folder() {
    let (home, server) = (Home::new(), serving());
    home.fetch(&server.url()).succeeds().says(&[&format!("fetched {}", home.file().display())]);
    home.has_the_file();
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn a_fetched_file_needs_no_network() {
    let (home, server) = (Home::new(), serving());
    home.fetch(&server.url()).succeeds();
    home.fetch(&server.url()).succeeds();
    assert_eq!(server.ranges().len(), 1);
}

#[test]
fn without_an_absolute_cache_folder_the_home_folder_is_used() {
    let (home, server) = (Home::new(), serving());
    let folder = home.0.path("home/.cache/topfive/weights").display().to_string();
    let relative = home.command(&server.url()).env("XDG_CACHE_HOME", "cache").output().unwrap();
    Ran::of(relative).succeeds().says(&[&folder]);
    let unset = home.command(&server.url()).env_remove("XDG_CACHE_HOME").output().unwrap();
    Ran::of(unset).succeeds().says(&[&folder]);
    assert_eq!(server.ranges().len(), 1);
}

#[test]
fn a_dropped_download_resumes_where_it_stopped() {
    let home = Home::new();
    let server = Server::new(|count, request, stream| match count {
        0 => {
            start(stream, "200 OK", "", numbers().len());
            stream.write_all(&numbers()[..20000]).unwrap();
        }
        _ => serve(request, stream, &numbers()),
    });
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
    assert_eq!(server.ranges(), [None, Some("bytes=20000-".to_string())]);
}

#[test]
fn the_partial_download_of_an_earlier_run_is_resumed() {
    let (home, server) = (Home::new(), serving());
    home.put(home.part(), &numbers()[..30000]);
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
    assert_eq!(server.ranges(), [Some("bytes=30000-".to_string())]);
}

#[test]
fn a_run_that_gives_up_keeps_its_partial_download_for_the_next() {
    let home = Home::new();
    let server = Server::new(|count, request, stream| match count {
        0 => {
            start(stream, "200 OK", "", numbers().len());
            stream.write_all(&numbers()[..20000]).unwrap();
        }
        1..4 => {}
        _ => serve(request, stream, &numbers()),
    });
    home.fetch(&server.url()).fails_saying(&[
        "lost 4 times",
        "20.00 kB are kept in",
        "run the command again",
        "a local copy of the weights",
    ]);
    assert!(!home.file().exists());
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
}

#[test]
fn a_server_without_ranges_starts_again_from_the_first_byte() {
    let home = Home::new();
    let server = Server::new(|_, _, stream| answer(stream, "200 OK", "", &numbers()));
    home.put(home.part(), &numbers()[..30000]);
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
    assert_eq!(server.ranges().len(), 1);
}

#[test]
fn a_server_that_sends_shorter_ranges_is_asked_until_the_file_is_whole() {
    let home = Home::new();
    let server = Server::new(|_, request, stream| {
        let (first, file) = (range(request).unwrap(), numbers());
        let end = file.len().min(first + 10000);
        let header = format!("Content-Range: bytes {first}-{}/{}\r\n", end - 1, file.len());
        answer(stream, "206 Partial Content", &header, &file[first..end]);
    });
    home.put(home.part(), &numbers()[..20000]);
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
}

#[test]
fn a_part_that_is_already_whole_gets_its_place() {
    let (home, server) = (Home::new(), serving());
    home.put(home.part(), &numbers());
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
    assert_eq!(server.ranges(), [Some("bytes=48890-".to_string())]);
}

#[test]
fn a_part_of_another_file_is_thrown_away() {
    for part in [vec![b'x'; 30000], vec![b'x'; 60000]] {
        let (home, server) = (Home::new(), serving());
        home.put(home.part(), &part);
        home.fetch(&server.url()).succeeds();
        home.has_the_file();
        assert_eq!(server.ranges(), [Some(format!("bytes={}-", part.len())), None]);
    }
}

#[test]
fn a_wrong_checksum_is_an_error_and_nothing_is_kept() {
    let home = Home::new();
    let server = Server::new(|_, request, stream| serve(request, stream, OTHER));
    // printf %s "another file" | sha256sum
    let found = "100ef6a71bac925f709fe9c114c60460bf6e472cfdb9d44bd8adf1698135260f";
    home.fetch(&server.url()).fails_saying(&[&server.url(), &SHA256[..8], found, "a local copy of the weights"]);
    assert_eq!(server.ranges().len(), 1);
    home.put(home.part(), b"ano");
    home.fetch(&server.url()).fails_saying(&[found]);
    assert_eq!(server.ranges().len(), 3, "the part is continued, then everything is fetched once");
    assert!(!home.file().exists() && !home.part().exists());
}

#[test]
fn all_digits_of_the_checksum_count() {
    let (home, server) = (Home::new(), serving());
    let fetch = |sha256: &str| Ran::of(home.command(&server.url()).env("FETCH_SHA256", sha256).output().unwrap());
    let mut wrong = SHA256.to_string();
    wrong.replace_range(63.., if SHA256.ends_with('0') { "1" } else { "0" });
    fetch(&wrong).fails_saying(&["wrong checksum", &wrong, SHA256]);
    fetch(SHA256).succeeds();
    fetch(&wrong).fails_saying(&["wrong checksum"]);
}

#[test]
fn a_refusal_names_the_address_the_reason_and_where_to_put_the_file() {
    for status in ["404 Not Found", "403 Forbidden", "500 Internal Server Error"] {
        let home = Home::new();
        let server = Server::new(move |_, _, stream| answer(stream, status, "", b"no"));
        home.fetch(&server.url()).fails_saying(&[
            &server.url(),
            status,
            &home.file().display().to_string(),
            "a local copy of the weights",
        ]);
        assert_eq!(server.ranges().len(), 1);
    }
}

#[test]
fn redirects_are_followed_with_the_range() {
    let home = Home::new();
    let server = Server::new(|_, request, stream| match request.starts_with("GET /models/numbers.txt ") {
        true => answer(stream, "302 Found", "Location: /elsewhere/file\r\n", b""),
        false => serve(request, stream, &numbers()),
    });
    home.put(home.part(), &numbers()[..30000]);
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
    assert_eq!(server.ranges(), vec![Some("bytes=30000-".to_string()); 2]);
}

#[test]
fn a_redirect_loop_is_an_error() {
    let home = Home::new();
    let server = Server::new(|_, _, stream| answer(stream, "302 Found", "Location: /models/numbers.txt\r\n", b""));
    home.fetch(&server.url()).fails_saying(&[&server.url(), "too many redirects"]);
}

#[test]
fn a_slow_connection_is_not_an_error() {
    let home = Home::new();
    let server = Server::new(|_, _, stream| {
        start(stream, "200 OK", "", numbers().len());
        for piece in numbers().chunks(2000) {
            stream.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
    });
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
}

#[test]
fn a_body_of_unknown_length_is_read_to_its_end() {
    let home = Home::new();
    let server = Server::new(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
        stream.write_all(&numbers()).unwrap();
    });
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
}

#[test]
fn a_refused_connection_is_an_error_with_the_reason() {
    let home = Home::new();
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/numbers.txt");
    home.fetch(&url).fails_saying(&[
        &url,
        "refused",
        &home.file().display().to_string(),
        "a local copy of the weights",
    ]);
}

#[test]
fn a_host_without_an_address_is_an_error_with_the_reason() {
    let home = Home::new();
    // No label of a name may be longer than 63 characters: this one is refused before anybody is asked.
    let url = format!("http://{}.invalid/numbers.txt", "a".repeat(64));
    home.fetch(&url).fails_saying(&[&url, &home.file().display().to_string(), "a local copy of the weights"]);
}

#[test]
fn a_server_that_does_not_speak_tls_is_an_error_with_the_reason() {
    let home = Home::new();
    let server = Server::new(|_, _, stream| answer(stream, "400 Bad Request", "", b"plain"));
    let url = server.url().replace("http://", "https://");
    home.fetch(&url).fails_saying(&[&url, "TLS", &home.file().display().to_string(), "a local copy of the weights"]);
}

#[test]
fn proxies_of_the_environment_are_used_except_for_excluded_hosts() {
    let (home, server) = (Home::new(), serving());
    let proxy = Server::new(|_, _, stream| answer(stream, "407 Proxy Authentication Required", "", b""));
    let fetch = |url: &str, except: &str| {
        let mut command = home.command(url);
        command.env("HTTPS_PROXY", &proxy.address).env("NO_PROXY", except);
        Ran::of(command.output().unwrap())
    };
    let far = "https://published.invalid/numbers.txt";
    fetch(far, "127.0.0.1").fails_saying(&[far, "407", "a local copy of the weights"]);
    assert!(proxy.requests.lock().unwrap()[0].starts_with("CONNECT published.invalid:443 "));
    fetch(&server.url(), "127.0.0.1").succeeds();
    assert_eq!(proxy.requests.lock().unwrap().len(), 1);
    home.has_the_file();
}

/// A limit on the size of files stands in for a full disk: writing fails halfway, and nobody has to be root.
#[test]
fn a_full_disk_is_an_error_that_names_the_folder_and_the_room() {
    let (home, server) = (Home::new(), serving());
    let mut command = Command::new("sh");
    home.prepare(&mut command, &server.url());
    command.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap()).args(CHILD);
    let folder = home.file().parent().unwrap().display().to_string();
    Ran::of(command.output().unwrap()).fails_saying(&[&format!("{folder} needs room for 48.89 kB"), "XDG_CACHE_HOME"]);
    assert!(!home.file().exists() && !home.part().exists());
    home.fetch(&server.url()).succeeds();
    home.has_the_file();
}

#[test]
fn a_cache_folder_that_cannot_be_made_is_named() {
    let (home, server) = (Home::new(), serving());
    home.0.write("cache", "a file where the folder would be");
    home.fetch(&server.url()).fails_saying(&[
        "cannot create",
        "cache/topfive/weights",
        "XDG_CACHE_HOME",
        "a local copy of the weights",
    ]);
}

#[test]
fn two_processes_that_start_together_fetch_the_file_once() {
    let home = Home::new();
    let (asked, was_asked) = channel();
    let (go, may_go) = channel();
    let server = Server::new(move |_, request, stream| {
        asked.send(()).unwrap();
        may_go.recv().unwrap();
        serve(request, stream, &numbers());
    });
    let start = || home.command(&server.url()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let first = start();
    was_asked.recv().unwrap();
    let mut second = start();
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    let waiting = lines.find_map(|line| line.ok().filter(|line| line.starts_with("waiting"))).unwrap();
    assert!(waiting.contains(&server.url()), "{waiting}");
    go.send(()).unwrap();
    Ran::of(first.wait_with_output().unwrap()).succeeds();
    assert!(second.wait().unwrap().success());
    home.has_the_file();
    assert_eq!(server.ranges().len(), 1);
}

#[test]
fn a_file_put_there_by_hand_is_verified_and_used() {
    let (home, server) = (Home::new(), serving());
    home.put(home.file(), &numbers());
    home.fetch(&server.url()).succeeds();
    assert_eq!(server.ranges().len(), 0);
}

#[test]
fn a_corrupt_cached_file_is_fetched_again() {
    let (home, server) = (Home::new(), serving());
    for damage in [&numbers()[..40000], OTHER, b""] {
        home.fetch(&server.url()).succeeds();
        fs::write(home.file(), damage).unwrap();
        home.fetch(&server.url()).succeeds().says(&["warning", &home.file().display().to_string(), &SHA256[..8]]);
        home.has_the_file();
    }
    assert_eq!(server.ranges().len(), 4);
}

#[test]
fn a_wrong_file_put_there_by_hand_stays_until_the_right_one_has_come() {
    let home = Home::new();
    let server = Server::new(|_, _, stream| answer(stream, "404 Not Found", "", b""));
    home.put(home.file(), OTHER);
    home.fetch(&server.url()).fails_saying(&["404", &home.file().display().to_string()]);
    assert_eq!(fs::read(home.file()).unwrap(), OTHER);
}

#[test]
fn every_config_that_names_weights_has_the_checksum_of_the_files_name() {
    let mut named = 0;
    for experiment in builtin::experiments() {
        let Some(weights) = Experiment::load(experiment.as_ref(), &[]).unwrap().weights else { continue };
        let name = weights.url.rsplit('/').next().unwrap();
        assert!(name.contains(&weights.sha256[..8]), "{experiment}: {name} {}", weights.sha256);
        named += 1;
    }
    assert_eq!(named, 15);
}

#[test]
fn a_malformed_address_or_checksum_is_refused_with_its_place_in_the_file() {
    let resnet18 = |change: &str| Experiment::load("resnet18".as_ref(), &[Change::Set(change.to_string())]);
    for url in
        ["ftp://host/file.pth", "host/file.pth", "https://host", "https://host/", "https://host/..", "https:///file"]
    {
        let error = format!("{:#}", resnet18(&format!("weights.url={url}")).unwrap_err());
        assert!(error.contains("weights.url: expected") && error.contains(url), "{error}");
    }
    for sha256 in ["b627a59", "B627A593", "b627a59x", &"0".repeat(65), "äöüäöüäö"] {
        let error = format!("{:#}", resnet18(&format!("weights.sha256=\"{sha256}\"")).unwrap_err());
        assert!(error.contains("weights.sha256: expected") && error.contains(sha256), "{error}");
    }
    resnet18("weights.url=https://host/file.pth?download=true").unwrap();
    resnet18(&format!("weights.sha256={SHA256}")).unwrap();
}

#[test]
fn a_changed_network_has_no_published_weights() {
    let resnet18 = |changes: &[Change]| Experiment::load("resnet18".as_ref(), changes).unwrap();
    assert!(resnet18(&[]).weights.is_some());
    assert!(resnet18(&[Change::Set("network.input=[3,64,64]".to_string())]).weights.is_none());
    let mut other_classes = resnet18(&[]);
    other_classes.set_classes(&(0..12).map(|class| class.to_string()).collect::<Vec<_>>()).unwrap();
    assert!(other_classes.weights.is_none());
}
