"""Deploy from code, then call by name as another program would."""

import modal

app = modal.App("deploy-then-call")


@app.function()
def price(item: str, count: int = 1) -> float:
    return {"tea": 1.5, "cake": 3.0}[item] * count


@app.cls()
class Till:
    currency: str = modal.parameter()

    @modal.method()
    def total(self, amounts: list[float]) -> str:
        return f"{sum(amounts):.2f} {self.currency}"


def main():
    from modal.runner import deploy_app

    deployed = deploy_app(app, name="script-shop")
    print("deployed", deployed.app_id.startswith("ap-"))
    price_of = modal.Function.from_name("script-shop", "price")
    print("cake", price_of.remote("cake", count=2))
    Register = modal.Cls.from_name("script-shop", "Till")
    print("total", Register(currency="EUR").total.remote([1.5, 6.0]))
    try:
        modal.Function.from_name("script-shop", "discount").remote()
    except modal.exception.NotFoundError:
        print("no discount")
    modal.App.lookup("script-shop").stop()


@app.local_entrypoint()
def entry():
    main()
