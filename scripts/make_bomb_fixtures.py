"""Makes tests/fixtures/bombs: small files of large images.

    python3 scripts/make_bomb_fixtures.py

Needs Pillow 13.
"""

import pathlib

from PIL import Image

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/bombs"

OUT.mkdir(parents=True, exist_ok=True)
Image.new("1", (13370, 13370)).save(OUT / "grey-13370x13370.png", optimize=True)
Image.new("L", (4000, 4000), 128).save(OUT / "progressive-4000x4000.jpg", progressive=True)
