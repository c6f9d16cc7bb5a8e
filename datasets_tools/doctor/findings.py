"""Findings of the doctor: codes, how grave each is, what it means and what to do about it."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

GRADES = ("error", "warning", "note")  # training would go wrong or stop; worth mending; good to know
PLACES_KEPT = 20


class Finding(NamedTuple):
    """One kind of fault with all its places."""

    code: str
    grade: str  # one of GRADES
    total: int  # objects, lines, files, images, classes or splits, as the title says
    title: str
    detail: str  # numbers or names, may be empty
    places: tuple[str, ...]  # the first few: FILE:LINE, FILE, or a class
    advice: str
    rows: tuple[int, ...] = ()  # of the objects at these places
    pairs: tuple[tuple[Path, Path], ...] = ()  # images that are alike


class FindingKind(NamedTuple):
    """What all findings of one code share."""

    grade: str
    title: str
    advice: str


def _error(title: str, advice: str) -> FindingKind:
    return FindingKind("error", title, advice)


def _warning(title: str, advice: str) -> FindingKind:
    return FindingKind("warning", title, advice)


def _note(title: str, advice: str) -> FindingKind:
    return FindingKind("note", title, advice)


KINDS: dict[str, FindingKind] = {
    # files
    "no-images": _error("splits without a single image", "name images in the list, or put them there"),
    "no-objects": _error(
        "training splits without a single object",
        "labels are text files with the images' names in labelTxt/ (docs/data.md, Layouts); "
        "other formats: python -m datasets_tools.convert",
    ),
    "no-splits": _warning(
        "data sets without splits: train and val are both all of their images, and scores mean nothing", ""
    ),
    "split-missing": _error("splits that training looks for are not there", ""),
    "split-names": _warning("sets of splits have other names than training looks for", ""),
    "image-missing": _error("images are not there", "put the images there, or take them off the list"),
    "ambiguous-name": _error(
        "images differ from another in their suffix alone, and share its label file", "rename or delete one"
    ),
    "name-listed-twice": _warning("images are listed twice in a split", "delete the second line"),
    "stem-twice": _warning(
        "images of one split share their name with one in another folder",
        "rename them: result files know the name alone",
    ),
    "name-with-blanks": _warning(
        "image names hold blanks", "rename them: result files of the DOTA kind are split at blanks"
    ),
    "label-without-image": _warning(
        "label files belong to no image",
        "a missing image, or another spelling (names must agree in upper and lower case): add or rename",
    ),
    "foreign-label": _warning(
        "files in the label folder are not read, because only .txt is",
        "convert them: python -m datasets_tools.convert",
    ),
    "image-without-label": _note(
        "images have no label file and teach background", "nothing, unless objects of theirs are missing"
    ),
    "empty-label": _note(
        "label files are empty: their images teach background",
        "nothing, unless objects of theirs are missing",
    ),
    "not-in-split": _note("images are in no split", "name them in ImageSets/*.txt if they are to be used"),
    # images
    "unreadable-image": _error(
        "images cannot be read", "fetch them again, or train with data.on_error=skip, which leaves them out"
    ),
    "animated-image": _error("images are animations", "save one picture of each"),
    "same-content": _error(
        "images stand in two splits: scores on the second are not what they seem", "keep each in one split"
    ),
    "scene-in-splits": _warning(
        "tiles are cut from the same image as tiles of another split",
        "split by image before cutting into tiles",
    ),
    "near-duplicate": _warning(
        "images are nearly the same as one of another split",
        "split by scene, flight or video: neighbours teach what they are tested with",
    ),
    "duplicate-image": _warning("images are copies of another of their split", "delete the copies"),
    "blank-image": _warning(
        "images are of one brightness throughout",
        "a failed download, or 16 bits of which the lowest alone are used: scale those to the full range",
    ),
    "exif-turned": _warning(
        "images ask viewers to turn them (EXIF)",
        "the turn is ignored here; see whether the labels were drawn on the turned picture",
    ),
    "far-larger": _warning(
        "splits whose median image is far larger than the network input: small objects would vanish",
        "cut them into tiles: python -m datasets_tools.split",
    ),
    "cmyk": _note("images are CMYK and become RGB", "save them as RGB to be sure of their colours"),
    "sixteen-bit": _note(
        "images have 16 bits per channel: divided by 257, or stretched where they hold fewer",
        "nothing (docs/data.md, Images)",
    ),
    "several-pages": _note("images have several pages, of which the first is read", ""),
    "not-decoded": _note("images are too large to be decoded here", "cut them into tiles, and check those"),
    "same-name": _note(
        "names stand in two splits, for different images",
        "nothing: results are of one split; rename them if the splits are to share a folder",
    ),
    # labels
    "malformed-line": _error("label lines cannot be read", "mend the lines (docs/data.md, Label lines)"),
    "wrong-flag": _error("difficult flags are none of 0, 1 and 2", "write 0, 1 or 2"),
    "unknown-class": _error("objects have a class that is not in --classes", "mend the labels or the list"),
    "mixed-classes": _error(
        "objects have a class index where others have a name", "write names in all label files"
    ),
    "class-not-in-train": _error(
        "objects of other splits have a class that train lacks", "set data.classes, or mend the labels"
    ),
    "class-case": _warning("classes differ from another in case or hyphens alone", "write them all alike"),
    "misspelt-class": _warning("rare classes are spelt almost like a frequent one", "mend the slips"),
    "rare-class": _note(
        "classes have fewer than 10 objects in train", "add examples, or leave the class out"
    ),
    "class-not-in-val": _note("classes of train have no object in val", "their AP will be n/a"),
    # shapes
    "normalised": _error(
        "objects have coordinates between 0 and 1", "labels are pixels: multiply by width and height"
    ),
    "outside": _warning("objects lie wholly outside their image", "delete them, or look for a wrong scale"),
    "mostly-outside": _warning(
        "objects reach out of their image with more than 0.3 of their area",
        "give them the difficult flag 2, with which training ignores them, or clip or delete them",
    ),
    "no-area": _warning("objects have no area and are never learned", "delete them or draw them again"),
    "under-1-px": _warning("objects are under 1 px wide or high and never learned", "delete or redraw them"),
    "concave": _warning("quads are concave; a detector returns convex ones", "move the inner vertex"),
    "self-crossing": _warning(
        "quads cross themselves", "write the vertices in order around the object, not row by row"
    ),
    "duplicate-object": _warning("objects stand twice in their image", "delete the copies"),
    "two-classes": _warning("quads stand twice in their image, with two classes", "keep the right one"),
    "coarse-approximation": _warning(
        "quads are learned as a shape that agrees with them to less than 0.7 (IoU)", "look at them"
    ),
    "truncated-integers": _warning(
        "objects are rectangles cut down to whole pixels: an approximation of the labels, not the labels",
        "train from the original labels with decimals if there are any",
    ),
    "approximated": _note(
        "quads have a vertex inside their horizontal box and are learned as the nearest shape that has none",
        "",
    ),
    "partly-outside": _note("objects reach out of their image by up to 0.3 of their area", ""),
    "tiny": _note("objects are at most 4 px long and are ignore regions", "enlarge the images to learn them"),
}

WITHOUT_FLAGS = {  # what to do where labels have no difficult flag, as YOLO's and training lists
    "mostly-outside": "clip them (python -m datasets_tools.convert SRC DST --clip), or delete them; "
    "these labels have no flag with which training would ignore them",
}


def without_flags(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without the advice to give an object a difficult flag."""
    return [f._replace(advice=WITHOUT_FLAGS.get(f.code, f.advice)) for f in findings]


def found(
    code: str,
    places: Sequence[str],
    detail: str = "",
    total: int | None = None,
    pairs: Iterable[tuple[Path, Path]] = (),
) -> list[Finding]:
    """Return a finding in a list, or an empty list where the total, by default that of the places, is 0."""
    total = len(places) if total is None else total
    if not total:
        return []
    grade, title, advice = KINDS[code]
    kept = tuple(places[:PLACES_KEPT])
    return [Finding(code, grade, total, title, detail, kept, advice, (), tuple(pairs)[:PLACES_KEPT])]


def found_objects(
    code: str, rows: Sequence[int], place_of: Callable[[int], str], detail: str = ""
) -> list[Finding]:
    """Return the finding of these rows of objects, or an empty list without any."""
    kept = tuple(rows[:PLACES_KEPT])
    whole = found(code, [place_of(row) for row in kept], detail, len(rows))
    return [finding._replace(rows=kept) for finding in whole]


def most_serious_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return errors, warnings and notes, the most frequent of each first; one finding for each code."""
    by_code: dict[str, Finding] = {}
    for new in findings:
        old = by_code.get(new.code)
        by_code[new.code] = new if old is None else _merged(old, new)
    return sorted(by_code.values(), key=lambda f: (GRADES.index(f.grade), -f.total, f.code))


def _merged(first: Finding, second: Finding) -> Finding:
    return first._replace(
        total=first.total + second.total,
        detail="; ".join(filter(None, (first.detail, second.detail))),
        places=(first.places + second.places)[:PLACES_KEPT],
        rows=(first.rows + second.rows)[:PLACES_KEPT],
        pairs=(first.pairs + second.pairs)[:PLACES_KEPT],
    )
