# SPDX-License-Identifier: Apache-2.0
"""Squares of pictures: OpenCV's own where it warps the picture, and there where it does not."""

import cv2
import numpy as np
import pytest

from data.warping import LONGEST, warp_square

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("border", [cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE])
@pytest.mark.parametrize("place", [(30, 20), (-5, 60), (-500, 40), (95, 3000), (47, 33)])
def test_a_square_is_that_of_the_whole_picture(border, place):
    picture = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    for angle, scale in ((0, 1), (0.5, 2.3), (2.5, 0.2), (4, 30)):
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.column_stack([turn, 15.5 - turn @ place])  # the place is the middle of the square
        whole = cv2.warpAffine(picture, matrix, (32, 32), flags=cv2.INTER_LINEAR, borderMode=border)
        square = warp_square(picture, matrix, 32, cv2.INTER_LINEAR, border)
        # OpenCV rounds places to parts of a pixel.
        assert np.abs(square.astype(int) - whole).max() <= 12 and np.abs(square.astype(int) - whole).mean() < 0.3


@pytest.mark.parametrize("exchange", [False, True])
def test_a_picture_longer_than_opencv_warps(exchange):
    picture = np.zeros((20, LONGEST + 4000), np.uint8)
    picture[:, LONGEST + 1000 :] = 200
    far = np.array([[1, 0, -(LONGEST + 1000 - 16)], [0, 1, 0]], float)  # the edge of the light part is in the middle
    all_of_it = np.array([[32 / picture.shape[1], 0, 0], [0, 1, 0]])
    if exchange:
        picture, far, all_of_it = picture.T, far[::-1, [1, 0, 2]], all_of_it[::-1, [1, 0, 2]]
    square = warp_square(picture, far, 32, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
    square = square.T if exchange else square
    assert (square[:, :16] == 0).all() and (square[:, 16:] == 200).all()
    square = warp_square(picture, all_of_it, 32, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
    square = square.T if exchange else square
    assert (square[:, :30] == 0).all() and (square[:, 30:] == 200).all()
