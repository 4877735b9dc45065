# SPDX-License-Identifier: Apache-2.0
"""The box among the columns of a table, beside a picture's sides and landmarks."""

import pytest

from barrel_jax.faces.box_columns import find_box

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("names", "box"),
    [
        ("width,height,left,top,right,bottom", "left,top,right,bottom"),
        ("width,height,left,top,w,h", "left,top,w,h"),
        ("width,height,x,y,xmin,ymin,xmax,ymax", "xmin,ymin,xmax,ymax"),
        ("width,height,x,y,w,h", "x,y,w,h"),
        ("left,top,width,height", "left,top,width,height"),
        ("xmin,ymin,xmax,ymax,x1,y1,x2,y2,x3,y3", "xmin,ymin,xmax,ymax"),
        ("x,y,w,h,x1,y1,x2,y2", "x,y,w,h"),
        ("box_x,box_y,box_w,box_h,x0,y0,x1,y1,x2,y2", "box_x,box_y,box_w,box_h"),
        ("box_x1,box_y1,box_x2,box_y2,x0,y0,x1,y1,x2,y2", "box_x1,box_y1,box_x2,box_y2"),
        ("x1,y1,x2,y2", "x1,y1,x2,y2"),
        ("bbox_x_min,bbox_y_min,bbox_x_max,bbox_y_max", "bbox_x_min,bbox_y_min,bbox_x_max,bbox_y_max"),
        ("rect_left,rect_top,rect_width,rect_height", "rect_left,rect_top,rect_width,rect_height"),
        ("face_x,face_y,face_w,face_h", "face_x,face_y,face_w,face_h"),
        ("min_x,min_y,max_x,max_y,x,y", "min_x,min_y,max_x,max_y"),
        ("xtl,ytl,xbr,ybr", "xtl,ytl,xbr,ybr"),
        ("x,y,width,height", "x,y,width,height"),
        ("box_left,box_top,left,top,width,height", "left,top,width,height"),
        ("x1,y1,x2,y2,x3,y3", ""),
        ("x0,y0,x1,y1,x2,y2", ""),
        ("face_x1,face_y1,face_x2,face_y2,face_x3,face_y3", ""),
        ("width,height", ""),
    ],
)
def test_the_box_is_told_from_the_pictures_sides_and_from_landmarks(names, box):
    found = find_box(names.split(","))
    assert (",".join(found.names) if found else "") == box
    assert found is None or found.corners == ("w" not in box)  # corners are all that has no width
