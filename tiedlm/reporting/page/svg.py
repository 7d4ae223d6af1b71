"""A figure of matplotlib → SVG within a page: the page's fonts and colours, and a text at every mark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
PLAIN = {
    "svg.fonttype": "none",  # text stays text, so that it is set in the page's font, can be found and copied
    "svg.hashsalt": "tiedlm",  # the same figure has the same bytes
    "path.simplify": False,
}
LONG_NUMBER = re.compile(r"\d+\.\d{3,}")
REFERENCE = re.compile(r"url\(#([^)]+)\)")
COLOUR = re.compile(r"#[0-9a-f]{6}\b")


def to_svg(figure: Figure, name: str, colours: Mapping[str, str], texts: Mapping[str, Sequence[str]]) -> Markup:
    """Draw a figure.

    Args:
        figure: what is drawn; an artist's `gid` becomes its CSS classes.
        name: of the figure in the page, which keeps its ids apart from those of others.
        colours: what stands in the page for each colour of the figure, e.g. a CSS variable.
        texts: by an artist's `gid`, the text of each of its marks.

    Raises:
        KeyError: the figure has a colour that the page has not.
    """
    drawn = io.StringIO()
    with matplotlib.rc_context(PLAIN):
        figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    root = ET.fromstring(drawn.getvalue())
    for child in (f"{SVG}metadata", f"{SVG}defs"):  # the latter is a style for the whole page
        root.remove(root.find(child))  # type: ignore[arg-type]
    for gid, of_marks in texts.items():
        _label_marks(root, gid, of_marks)
    referenced = {found for element in root.iter() for found in _references(element)}
    for element in root.iter():
        _settle(element, name, colours, referenced, texts)
    del root.attrib["width"], root.attrib["height"], root.attrib["version"]
    root.set("aria-hidden", "true")  # the figure around it has the words
    root.set("focusable", "false")
    ET.register_namespace("", SVG.strip("{}"))
    return Markup(re.sub(r">\s+<", "><", ET.tostring(root, encoding="unicode")))


def _label_marks(root: ET.Element, gid: str, texts: Sequence[str]) -> None:
    """Put each mark of a line into a group with its text, which a browser shows at the pointer."""
    (line,) = (element for element in root.iter(f"{SVG}g") if element.get("id") == gid)
    marks = [(group, use) for group in line.iter(f"{SVG}g") for use in group.findall(f"{SVG}use")]
    for place, ((group, use), text) in enumerate(zip(marks, texts, strict=True)):
        wrapped = ET.Element(f"{SVG}g", {"class": "mark"})
        ET.SubElement(wrapped, f"{SVG}title").text = text
        group.remove(use)
        group.insert(place, wrapped)
        wrapped.append(use)


def _references(element: ET.Element) -> list[str]:
    """The ids that an element uses."""
    linked = element.get(f"{XLINK}href")
    return [*REFERENCE.findall(" ".join(element.attrib.values())), *([] if linked is None else [linked[1:]])]


def _settle(
    element: ET.Element,
    name: str,
    colours: Mapping[str, str],
    referenced: set[str],
    texts: Mapping[str, Sequence[str]],
) -> None:
    """Make an element one of the page's."""
    attributes = element.attrib
    identifier = attributes.pop("id", None)
    if identifier in referenced:
        attributes["id"] = f"{name}-{identifier}"
    elif identifier is not None and (identifier.startswith("of-") or identifier in texts):
        attributes["class"] = identifier
    if f"{XLINK}href" in attributes:
        attributes["href"] = f"#{name}-{attributes.pop(f'{XLINK}href')[1:]}"
    for key in ("d", "transform", "x", "y"):
        if key in attributes:
            attributes[key] = LONG_NUMBER.sub(lambda found: f"{float(found[0]):.2f}", " ".join(attributes[key].split()))
    if "clip-path" in attributes:
        attributes["clip-path"] = REFERENCE.sub(rf"url(#{name}-\1)", attributes["clip-path"])
    if "style" in attributes:
        style = re.sub(r"font-family: [^;]+;? ?", "", attributes["style"])
        style = REFERENCE.sub(rf"url(#{name}-\1)", style)
        attributes["style"] = COLOUR.sub(lambda found: colours[found[0]], style)
