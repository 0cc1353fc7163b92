"""The pictures of the README: a gateway with a minute of traffic, as it would be seen."""

import random
import threading
import time

from stage import ARCHIVE, SECRETS


def take(browser, binary, shots):
    from page import Looked
    from stage import Stage

    with Stage(binary) as stage:
        stage.put(*[f"2025/{number:04}.jpg" for number in range(5000)])
        stage.put(*[f"{number:03}.pdf" for number in range(100)], space="invoices")
        stage.put(*[f"{number:03}.zip" for number in range(100)], library=ARCHIVE, space="old")
        looked, over = Looked(browser, stage), threading.Event()
        traffic = threading.Thread(target=_traffic, args=(stage, over))
        traffic.start()
        try:
            time.sleep(75)
            looked.page.screenshot(path=shots / "status-light.png", clip={"x": 0, "y": 0, "width": 1280, "height": 900})
            stage.edit("policy.yaml", "permanent_deletes: by_rule", "permanent_deletes: by_rule\nfreeze: [{ tenant: invoices, reason: audit }]")
            looked.text("attention", "frozen")
            stage.edit("policy.yaml", "rate_limits:", "rate_limit:")
            looked.text("attention", "not in force")
            looked.page.emulate_media(color_scheme="dark")
            looked.page.set_viewport_size({"width": 360, "height": 900})
            time.sleep(2)
            looked.page.screenshot(path=shots / "status-dark-phone.png")
        finally:
            over.set()
            traffic.join()


def _traffic(stage, over):
    dice, photo, other, beat = random.Random(7), 0, 0, 0
    while not over.is_set():
        began, beat = time.monotonic(), beat + 1
        for _ in range(dice.randint(10, 16) + (14 if beat % 30 > 18 else 0)):
            drawn = dice.random()
            if drawn < 0.84:
                stage.delete(f"photos/2025/{photo:04}.jpg")
                photo += 1
            elif drawn < 0.91:
                stage.delete(f"photos/2024/{photo:04}.jpg")
            elif drawn < 0.94:
                stage.delete(f"photos/legal/contract-{beat}.pdf")
            elif drawn < 0.96:
                stage.delete(f"photos/2025/{photo:04}.jpg?permanent=1", SECRETS["janitor"])
            elif drawn < 0.975:
                stage.delete(f"archive/{other % 100:03}.zip", SECRETS["janitor"])
                other += 1
            elif drawn < 0.985 and beat % 3 == 0:
                stage.delete(f"invoices/{other % 100:03}.pdf")
                other += 1
        over.wait(max(0, 1 - (time.monotonic() - began)))
