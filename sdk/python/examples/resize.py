#!/usr/bin/env python3
"""A worker with executors of its own: `python3 sdk/python/examples/resize.py`, then `millrace submit resize.yaml`.

Scales images in the plain PPM format, so that nothing but Python is needed.
"""
import logging
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # not needed once the package is installed

from millrace_sdk import Worker  # noqa: E402

logging.basicConfig(level=logging.INFO)
worker = Worker(slots=2)


@worker.task("draw")
def draw(width, height):
    rows = [[(x * 255 // width, y * 255 // height, 128) for x in range(width)] for y in range(height)]
    return {"width": width, "height": height, "pixels": rows}


@worker.task("resize")
def resize(task, image, width):
    height = max(1, image["height"] * width // image["width"])
    task.log(f"{image['width']}x{image['height']} -> {width}x{height}")
    rows = []
    for y in range(height):
        task.check()  # a cancelled task ends here
        task.progress(y, height)
        source = image["pixels"][y * image["height"] // height]
        rows.append([source[x * image["width"] // width] for x in range(width)])
    return {"width": width, "height": height, "pixels": rows}


if __name__ == "__main__":
    worker.run()
