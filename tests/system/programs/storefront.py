"""A small shop: what its dashboard shows. One function fails now and then, one prints much."""

import time
from typing import Any

import squall

app = squall.App("storefront")

PAGE = b"""<!doctype html><title>probe</title><p id="said">waiting</p><script>
(async () => {
  const answer = await fetch("/dashboard/main/");
  const opened = window.open("/dashboard/main/");
  await new Promise((done) => setTimeout(done, 1500));
  let read = "nothing";
  try { if (opened && opened.document.querySelector("meta[name=form-key]")) read = "the key"; }
  catch (error) { read = "refused"; }
  document.getElementById("said").textContent = `fetch ${answer.status}, window ${read}`;
})();
</script>"""


@app.function(retries=1)
def price(item: str) -> float:
    print(f"pricing {item}", flush=True)
    time.sleep(0.01)
    if item.startswith("unknown"):
        raise ValueError(f"no price for {item!r}")
    return len(item) * 1.5


@app.function()
def thumbnail(number: int) -> int:
    time.sleep(0.02 + number % 7 * 0.01)
    return number


@app.function()
def say(text: str) -> None:
    print(text, flush=True)


@app.function()
@squall.asgi_app()
def neighbour() -> Any:
    """An app whose page asks for the dashboard with its visitor's cookie."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/html"), (b"cross-origin-opener-policy", b"same-origin")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE})

    return answer
