"""Strokes the demo's faces are painted with: smooth polygons, lines, light and glow."""

import cv2
import numpy as np

from pipelines.demo.looks import Colour

SIZE_PX = 224
_SUBPIXEL_BITS = 4


class Place:
    """Where a face is: turns shares of the picture's width, off the face's centre, to pixels."""

    def __init__(self, offset_x: float, offset_y: float) -> None:
        self.centre = np.array([0.5 + offset_x, 0.49 + offset_y]) * SIZE_PX

    def at(self, x: float | np.ndarray, y: float | np.ndarray) -> np.ndarray:
        """Points in pixels, (n, 2)."""
        x, y = np.broadcast_arrays(np.atleast_1d(x), np.atleast_1d(y))
        return self.centre + np.stack([x, y], axis=1) * SIZE_PX

    def between(self, x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        """The outline of what lies between two curves over the same ``x``."""
        return np.concatenate([self.at(x, top), self.at(x, bottom)[::-1]])


def shade(colour: np.ndarray, light: np.ndarray, radius_px: float) -> None:
    """Darkens what is drawn so far with the distance from ``light``; in place."""
    y, x = np.ogrid[: colour.shape[0], : colour.shape[1]]
    distance = np.hypot(x - light[0], y - light[1]) / radius_px
    dimming = np.clip(1.06 - 0.13 * distance**2, 0.70, 1.06)
    np.copyto(colour, np.clip(colour * dimming[:, :, None], 0, 255).astype(np.uint8))


def glow(colour: np.ndarray, spot: np.ndarray, radius_px: float, paint: Colour, w: float) -> None:
    """Lays a soft spot of ``paint`` over what is drawn so far; in place."""
    y, x = np.ogrid[: colour.shape[0], : colour.shape[1]]
    weight = w * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (radius_px**2) * 1.5)
    weight = np.clip(weight, 0, 1)[:, :, None] * (colour.max(axis=2, keepdims=True) > 0)
    np.copyto(colour, (colour * (1 - weight) + np.array(paint) * weight).astype(np.uint8))


def blend(a: Colour, b: Colour, weight_of_b: float) -> Colour:
    """``a`` mixed with ``b``."""
    mixed = [round(p * (1 - weight_of_b) + q * weight_of_b) for p, q in zip(a, b, strict=True)]
    return (mixed[0], mixed[1], mixed[2])


def arc(
    x: float, y: float, rx: float, ry: float, start_deg: float, end_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points of an ellipse's arc; angles grow from the right, downwards."""
    angle = np.deg2rad(np.linspace(start_deg, end_deg, 48))
    return x + rx * np.cos(angle), y + ry * np.sin(angle)


def unit_circle(n_points: int) -> np.ndarray:
    """(n_points, 2) points of the circle of radius 1 around 0."""
    angle = np.linspace(0, 2 * np.pi, n_points, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _opaque(paint: tuple[int, ...], picture: np.ndarray) -> tuple[int, ...]:
    return (*paint, 255) if picture.ndim == 3 and picture.shape[2] == 4 else paint


def fill(picture: np.ndarray, points: np.ndarray, paint: tuple[int, ...]) -> None:
    """Fills a polygon of (n, 2) points in pixels, its edge smoothed; in place."""
    cv2.fillPoly(picture, [_fixed(points)], _opaque(paint, picture), cv2.LINE_AA, _SUBPIXEL_BITS)


def line(picture: np.ndarray, points: np.ndarray, paint: tuple[int, ...], width_px: int) -> None:
    """Draws an open line through (n, 2) points in pixels; in place."""
    cv2.polylines(
        picture, [_fixed(points)], False, _opaque(paint, picture), width_px, cv2.LINE_AA,
        _SUBPIXEL_BITS,
    )  # fmt: skip
