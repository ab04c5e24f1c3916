"""A Flask site."""

import modal

image = (
    modal.Image.debian_slim(python_version="3.11")
    .apt_install("tree")
    .uv_pip_install("fastapi", "flask")
)
app = modal.App("flask-site", image=image)


@app.function()
@modal.wsgi_app()
def site():
    from flask import Flask, request

    flask_app = Flask(__name__)

    @flask_app.post("/echo")
    def echo():
        return request.get_data(as_text=True)[::-1]

    return flask_app
