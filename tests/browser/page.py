"""Drives the status page in headless Chromium: python page.py BINARY FOLDER_FOR_SCREENSHOTS [--pictures]

With --pictures it makes those of the README instead, which takes a minute.
"""

import http.client
import pathlib
import re
import sys

from playwright.sync_api import expect, sync_playwright

from stage import ARCHIVE, LIBRARY, Stage

CHROMIUM = "/usr/bin/chromium"
HOSTILE = ['<script>document.title="pwned"</script>', '"><img src=x onerror=document.title="pwned">', "invoice\u202egpj.exe"]

expect.set_options(timeout=15_000)


def main():
    binary, shots = sys.argv[1], pathlib.Path(sys.argv[2])
    shots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # No sandbox: in a container there is none to be had, and nothing foreign is looked at.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        if "--pictures" in sys.argv:
            import pictures

            return pictures.take(browser, binary, shots)
        for check in [wholesome, hostile, gone, crowded]:
            with Stage(binary) as stage:
                check(browser, stage, shots)
            print("ok:", check.__name__)
        browser.close()
    print("the page does what it is for")


class Looked:
    """A page, with all that a browser complained of and asked for."""

    def __init__(self, browser, stage, shows="Ready"):
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.wrong, self.asked = [], set()
        self.base = "http://%s:%d/" % stage.admin
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.on("request", lambda request: self.asked.add(request.url))
        assert self.page.goto(self.base).status == 200
        self.text("headline", shows)

    def text(self, id, wanted):
        expect(self.page.locator(f"#{id}")).to_contain_text(wanted)

    def is_well(self):
        assert not self.wrong, self.wrong
        # The picture in its head is a part of the page, and nothing comes from elsewhere.
        strange = [url for url in self.asked if not url.startswith((self.base, "data:"))]
        assert not strange, strange


def wholesome(browser, stage, shots):
    """Loads; follows deletes, a rejected configuration, a freeze; explains; by key, dark, and narrow."""
    looked = Looked(browser, stage)
    page = looked.page
    looked.text("headline", re.compile("^Ready$"))
    assert page.title().startswith("✓ Ready"), page.title()
    looked.text("link-text", "live")
    looked.text("no-refusals", "None since")

    stage.put("2025/a.jpg", "2025/b.jpg")
    assert stage.delete("photos/2025/a.jpg") == 200
    assert stage.delete("photos/2025/a.jpg") == 404
    assert stage.delete("photos/legal/a.pdf") == 403
    row = page.locator("#ends tr")
    expect(row.nth(0)).to_contain_text(re.compile("deleted.*1$"))
    expect(row.nth(1)).to_contain_text(re.compile("not there.*1$"))
    expect(row.nth(3)).to_contain_text(re.compile("refused.*1$"))
    expect(page.locator("#chart path[data-end=deleted]")).to_have_attribute("d", re.compile("^M"))
    expect(page.locator("#chart")).to_have_attribute("aria-label", re.compile("1 deleted, 1 not there"))
    expect(page.locator("#latency")).to_have_attribute("aria-label", re.compile("Half of SMH's answers"))
    looked.text("p50", re.compile("≤ .* m?s"))
    looked.text("latest-refusals", "legal hold")
    looked.text("latest-refusals", "OPS-1234")
    looked.text("minted", "at least")
    looked.text("no-tokens", ARCHIVE)
    assert stage.delete("invoices/a.pdf") == 404
    looked.text("used", "invoices a day")
    looked.text("smh-said", "3 answers")
    page.screenshot(path=shots / "light.png", full_page=True)

    stage.edit("policy.yaml", "permanent_deletes: by_rule", "permanent_deletes: by_rule\nfreeze: [{ tenant: invoices, reason: audit }]")
    looked.text("attention", "The tenant invoices is frozen: audit (policy.yaml, line 2)")
    looked.text("headline", "Ready, and 1 thing to act on")

    stage.edit("policy.yaml", "rate_limits:", "rate_limit:")
    looked.text("attention", "not in force: policy.yaml:6:1: unknown field")
    looked.text("problems", re.compile(r"policy\.yaml:6:1.*did you mean `rate_limits`"))
    stage.edit("policy.yaml", "rate_limit:", "rate_limits:")
    expect(page.locator("#rejected")).to_be_hidden()

    # By key alone, from the head of the page: the skip link is first.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(40):
        if page.evaluate("document.activeElement.name") == "caller":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("janitor")
    page.keyboard.press("Tab")
    page.keyboard.type("photos")
    page.keyboard.press("Tab")
    page.keyboard.type("legal/a.pdf")
    page.keyboard.press("Enter")
    looked.text("decision", 'Denied: 403 DeniedByRule, the rule "legal hold" denies it')
    looked.text("checks", "refused")
    page.fill("[name=path]", "2025/b.jpg")
    page.keyboard.press("Enter")
    looked.text("decision", "Allowed")
    page.fill("[name=caller]", "nobody")
    page.keyboard.press("Enter")
    looked.text("decision", "Denied: 401 Unauthenticated")
    assert "2025/b.jpg" in stage.files(), "nothing was sent"

    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark, light
    assert page.evaluate("getComputedStyle(document.querySelector('.dot')).animationName") == "none"
    page.screenshot(path=shots / "dark.png", full_page=True)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360, "it fits"
    page.screenshot(path=shots / "narrow.png", full_page=True)
    spoken(page)

    page.click("#pause")
    looked.text("link-text", "paused")
    looked.text("pause", "Go on")
    page.click("#pause")
    looked.text("link-text", "live")
    looked.is_well()


def spoken(page):
    """What a screen reader is told: landmarks, one h1, tables that stay tables, and little that speaks up."""
    tree = page.locator("body").aria_snapshot()
    for what in ["banner", "main", "contentinfo", 'heading "✕ Ready', 'img "Bars, one a second', "columnheader", "list"]:
        assert what in tree, (what, tree)
    assert page.locator("h1").count() == 1
    live = page.locator("[aria-live], [role=status], [role=alert]")
    assert [one.inner_text().split(",")[0] for one in live.all()][:1] == ["Ready"]
    assert live.count() == 2
    unlabelled = page.evaluate("[...document.querySelectorAll('input')].filter((one) => !one.labels.length).length")
    assert unlabelled == 0


def hostile(browser, stage, shots):
    """Names that would be markup, or look like others, are text and seen for what they are."""
    looked = Looked(browser, stage)
    page = looked.page
    encoded = ["".join("%%%02X" % byte for byte in name.encode()) for name in HOSTILE]
    for name in encoded:
        assert stage.delete(f"photos/legal/{name}") == 403
        assert stage.delete(f"{name.replace('%2F', '')}/a") == 403
    # The longest one that is taken.
    assert stage.delete("photos/legal/" + "x" * 6000) == 403
    looked.text("latest-refusals", "TenantNotGranted")
    texts = page.locator("#latest-refusals").inner_text()
    assert "xxxxx" in texts
    seen = page.evaluate("(async () => (await (await fetch('api/status')).json()).latest_refusals.map((one) => one.path))()")
    for name in HOSTILE:
        assert f"legal/{name}" in seen, seen
    # Each by itself, with no other like it: as text, and what is not seen made visible.
    for name, code in zip(HOSTILE, encoded):
        assert stage.delete(f"photos/{code}?permanent=1") == 403
        looked.text("latest-refusals", name.replace("\u202e", "⟨U+202E⟩"))
    page.screenshot(path=shots / "hostile.png", full_page=True)
    assert page.locator("main script, main img").count() == 0
    assert "pwned" not in page.title()
    page.fill("[name=caller]", HOSTILE[0])
    page.fill("[name=tenant]", HOSTILE[1])
    page.fill("[name=path]", HOSTILE[2])
    page.click("text=Explain")
    looked.text("decision", "Denied")
    assert page.locator("main script, main img").count() == 0
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360, "it fits"
    text = page.content()
    for secret in stage.secrets:
        assert secret not in text
    looked.is_well()


def gone(browser, stage, shots):
    """A file that was destroyed is told in red; and when the gateway is gone, nothing looks well."""
    looked = Looked(browser, stage)
    page = looked.page
    stage.put("2025/a.jpg")
    stage.control("PUT", "recycle-bin", library=LIBRARY, recycle_bin="off")
    assert stage.delete("photos/2025/a.jpg") == 204
    looked.text("attention", "1 file was destroyed that should have gone to the recycle bin")
    looked.text("latest-alarms", "2025/a.jpg")
    red = "getComputedStyle(document.querySelector('#latest-alarms td.danger')).color"
    assert page.evaluate(red) == "rgb(179, 38, 30)"
    looked.is_well()
    stage.gateway.kill()
    looked.text("headline", "Out of touch")
    looked.text("link-text", "connection lost")
    page.screenshot(path=shots / "gone.png", full_page=True)


def crowded(browser, stage, shots):
    """Whoever finds no place is told so, and gets one when others leave."""
    others = [http.client.HTTPConnection(*stage.admin, timeout=20) for _ in range(16)]
    for other in others:
        other.request("GET", "/api/events")
        assert other.getresponse().status == 200
    looked = Looked(browser, stage, shows="Out of touch")
    looked.text("subline", "too many look at it")
    for other in others:
        other.close()
    looked.text("headline", re.compile("^Ready$"))
    looked.text("link-text", "live")


if __name__ == "__main__":
    main()
