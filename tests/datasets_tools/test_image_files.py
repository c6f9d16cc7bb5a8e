import os
from pathlib import Path

from datasets_tools.image_files import put_image


def test_an_image_that_differs_in_a_byte_is_another(tmp_path: Path) -> None:
    """Size and time agree, as of uncompressed images that were unpacked together."""
    source, target = tmp_path / "a.bmp", tmp_path / "out/a.bmp"
    source.write_bytes(b"BM12")
    assert put_image((source, target), "copy") == "copied"
    assert put_image((source, target), "copy") == "kept"
    target.write_bytes(b"BM13")
    os.utime(target, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    assert put_image((source, target), "copy") == "copied"
    assert target.read_bytes() == source.read_bytes()
    target.unlink()
    assert put_image((source, target), "link") == "linked"
    assert put_image((source, target), "link") == "kept"


def test_a_link_that_a_killed_process_had_begun_is_cleared(tmp_path: Path) -> None:
    source, target = tmp_path / "a.bmp", tmp_path / "out/b.bmp"
    source.write_bytes(b"BM12")
    target.parent.mkdir()
    begun = target.with_name(".a.bmp.999999999.tmp")
    begun.hardlink_to(source)
    os.utime(begun, (1e9, 1e9))
    assert put_image((source, target), "link") == "linked"
    assert list(target.parent.iterdir()) == [target]
