"""Three apps of a shop, for pictures of the dashboard: what they do is made up, that they do it is not."""

import random
import time

import squall

storefront = squall.App("storefront")
pictures = squall.App("pictures")
forecast = squall.App("forecast")
uploads = squall.Volume.from_name("uploads", create_if_missing=True)


@storefront.function(retries=1)
def price(item: str) -> float:
    print(f"pricing {item}", flush=True)
    time.sleep(random.lognormvariate(-4.2, 0.5))
    if item.startswith("unknown"):
        raise LookupError(f"no price list has {item!r}")
    return len(item) * 1.5


@storefront.function()
def checkout(order: int) -> str:
    print(f"order {order} taken, {order % 5 + 1} items", flush=True)
    time.sleep(random.lognormvariate(-2.5, 0.4))
    return f"order {order}"


@storefront.function(schedule=squall.Period(minutes=5))
def restock() -> int:
    print("shelves looked at", flush=True)
    return 3


@storefront.function(schedule=squall.Cron("30 6 * * 1", timezone="Europe/Berlin"))
def weekly_report() -> None:
    print("report written", flush=True)


@pictures.function(volumes={"/uploads": uploads}, max_containers=4)
def thumbnail(number: int) -> int:
    if number % 40 == 0:
        print(f"picture {number}: its profile is missing, sRGB taken", flush=True)
    time.sleep(random.lognormvariate(-3.4, 0.6))
    return number


@pictures.function(retries=2)
def caption(number: int) -> str:
    time.sleep(random.lognormvariate(-2.0, 0.3))
    if number % 9 == 0:
        raise ValueError(f"picture {number} has no pixels")
    return f"picture {number}"


@forecast.cls()
class Model:
    @squall.enter()
    def load(self) -> None:
        print("weights loaded", flush=True)
        time.sleep(0.6)

    @squall.method()
    def predict(self, day: int) -> float:
        time.sleep(random.lognormvariate(-3.0, 0.3))
        return day * 1.1


@forecast.function(gpu="H100")
def train(epochs: int) -> int:
    return epochs
