"""Many inputs over many containers: results arrive in order, as they are ready.

squall run examples/03_parallel_map.py --up-to 500
"""

import squall

app = squall.App("parallel-map")


@app.function(max_containers=2)
def collatz_steps(start: int) -> int:
    steps = 0
    while start != 1:
        start = start // 2 if start % 2 == 0 else 3 * start + 1
        steps += 1
    return steps


@app.function()
def area(width: int, height: int) -> int:
    return width * height


@app.local_entrypoint()
def main(up_to: int = 100) -> int:
    steps = list(collatz_steps.map(range(1, up_to + 1)))
    longest = max(steps)
    print(f"longest way to 1 below {up_to}: {longest} steps, from {steps.index(longest) + 1}")
    print(f"areas: {list(area.starmap([(2, 10), (3, 4)]))}")
    return longest
