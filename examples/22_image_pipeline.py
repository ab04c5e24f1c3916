"""Pictures drawn, shrunk and put on one sheet: a map over files of a volume.

squall run examples/22_image_pipeline.py --count 12
"""

from pathlib import Path

import squall

image = squall.Image.debian_slim().pip_install("pillow==12.0.0")
app = squall.App("image-pipeline", image=image)
pictures = squall.Volume.from_name("example-pictures", create_if_missing=True)

with image.imports():
    from PIL import Image, ImageDraw


@app.function(volumes={"/pictures": pictures})
def draw(count: int) -> list[str]:
    Path("/pictures/full").mkdir(exist_ok=True)
    names = [f"{number:03}.png" for number in range(count)]
    for number, name in enumerate(names):
        picture = Image.new("RGB", (800, 600), f"hsl({360 * number // count}, 60%, 70%)")
        ImageDraw.Draw(picture).regular_polygon((400, 300, 200), number + 3, fill="white")
        picture.save(f"/pictures/full/{name}")
    pictures.commit()
    return names


@app.function(volumes={"/pictures": pictures.read_only()}, max_containers=4)
@squall.concurrent(max_inputs=4)
def shrink(name: str) -> "Image.Image":
    with Image.open(f"/pictures/full/{name}") as picture:
        return picture.resize((160, 120))


@app.function(volumes={"/pictures": pictures})
def sheet(count: int) -> tuple[int, int]:
    made = Image.new("RGB", (640, 120 * -(-count // 4)), "white")
    for number, small in enumerate(shrink.map(draw.local(count))):
        made.paste(small, (160 * (number % 4), 120 * (number // 4)))
    made.save("/pictures/sheet.png")
    pictures.commit()
    return made.width, made.height


@app.local_entrypoint()
def main(count: int = 8) -> None:
    print("sheet of {} × {} pixels".format(*sheet.remote(count)))
    print(f"it is a PNG: {b''.join(pictures.read_file('sheet.png'))[1:4] == b'PNG'}")
