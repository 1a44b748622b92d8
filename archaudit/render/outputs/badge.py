"""A badge as SVG: the outcome, by word and colour. It brings no font, script or link."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from archaudit.schema import Judgement

# Dark enough for white text to be read on (WCAG AA).
_COLORS = {"passed": "#1a7f37", "failed": "#cf222e", "inconclusive": "#9a6700"}
_GREY = "#555555"
_HEIGHT, _CHARACTER, _MARGIN = 20, 6.6, 12


def write(judgement: Judgement) -> str:
    """The badge."""
    label, value = "archaudit", judgement.outcome if judgement.checks else "no checks"
    widths = [round(len(text) * _CHARACTER) + _MARGIN for text in (label, value)]
    title = f"{label}: {value}"
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", width=str(sum(widths)), height=str(_HEIGHT), role="img")
    root.set("aria-label", title)
    SubElement(root, "title").text = title
    for text, start, width, color in ((label, 0, widths[0], _GREY), (value, widths[0], widths[1], _COLORS[judgement.outcome])):
        SubElement(root, "rect", x=str(start), width=str(width), height=str(_HEIGHT), fill=color)
        place = {"x": f"{start + width / 2:g}", "y": "14", "fill": "#ffffff", "text-anchor": "middle"}
        SubElement(root, "text", {**place, "font-family": "Verdana,DejaVu Sans,sans-serif", "font-size": "11"}).text = text
    return tostring(root, encoding="unicode") + "\n"
