"""What customers do in the portal, step by step, in a browser without scripts. Each flow begins where the one before it ended."""

import http.server
import threading

from browser import until
from checks import FOCUS


def set_up(server):
    """A currency of packages, one of money with limits, and Zoë, who was given 50 credits."""
    call = server.call
    call("PUT", "/v1/credit-currencies/credits", {"scale": 2, "name": "Compute credits", "symbol": "credits"})
    call("PUT", "/v1/credit-currencies/euro", {"scale": 0, "name": "Prepaid euro", "symbol": "ct", "kind": "fiat", "iso_code": "EUR"})
    call("PUT", "/v1/credit-currencies/euro/portal-limits", {"min_payment": "5", "max_payment": "100", "max_balance": "12000"})
    call("PUT", "/v1/meters/tokens.used", {"currency": "credits", "rate": "0.01", "rounding": "up"})
    price = {"amount": "10.00", "currency": "EUR"}
    starter = {"name": "Starter", "currency": "credits", "credits": "1000", "bonus": "100", "price": price, "valid_for_seconds": 90 * 86400}
    call("PUT", "/v1/credit-packages/starter", starter)
    team = {"name": "Team", "currency": "credits", "credits": "12000", "price": {"amount": "100.00", "currency": "EUR"}}
    call("PUT", "/v1/credit-packages/team", team)
    call("PUT", "/v1/credit-currencies/credits/recharge-config", {"package": "starter"})
    call("PUT", "/v1/customers/zoe", {"name": "Zoë Müller"})
    give(server, "zoe", "50")


def give(server, customer, amount, **more):
    gift = {"customer": customer, "currency": "credits", "amount": amount, "source": "promotional", "category": "promotional"}
    server.call("POST", "/v1/grants", {**gift, **more})


def buy(browser):
    """Opens the link, buys a package through the hosted checkout, and sees it in the balance."""
    browser.open(browser.server.link("zoe"))
    browser.leads_to("/portal/credits/overview")
    assert "token" not in browser.address()
    browser.expect("Signed in for Zoë Müller", "Example Cloud", "Test mode", "Available 50 credits")
    cookie = browser.cookies()["drawdown_portal"]
    flags = {name: cookie[name] for name in ("httpOnly", "sameSite", "path", "secure")}
    # Behind https it is `Secure`, too, and called so (tests/it/api/portal.rs).
    assert flags == {"httpOnly": True, "sameSite": "Lax", "path": "/portal", "secure": False}, cookie
    assert "expiry" not in cookie, "it goes with the browser"
    browser.click(browser.by_words("main a.button", "Buy credits"))
    browser.expect("Starter", "1 000 credits", "and 100 free", "Valid for 90 days", "Team", "Never expires")
    browser.click(browser.by_words("button[name=package]", "Starter"))
    browser.leads_to("/checkout/")
    browser.expect("Pay by card", "10.00 EUR")
    browser.pay("4000 0000 0000 0002")
    browser.expect("declined")
    print("a declined card is told on the checkout:", browser.read(browser.one("[role=alert]")))
    browser.pay("4242 4242 4242 4242")
    browser.expect("Paid")
    browser.click(browser.by_words("a.button", "Continue"))
    browser.wait_for("Paid. The credits are in your wallet.")
    browser.click(browser.by_words("main a", "To the balance"))
    browser.expect("Available 1 150 credits", "Package: Starter", "Gift free")
    print("bought on the hosted checkout: the balance rose from 50 to 1150")
    browser.open("/portal/credits/invoices")
    browser.click(browser.by_words("tbody th a", "1"))
    browser.expect("Receipt 1", "Example Cloud", "Visa ending in 4242", "Due 0.00 EUR")


def declined_card(browser):
    """A card that can be saved and not charged: told in words. It is removed at the end, which asks first."""
    browser.open("/portal/credits/cards")
    browser.expect("Visa ending in 4242", "default")
    browser.click(browser.by_words("button", "Add a card"))
    browser.pay("4000 0000 0000 9995")
    browser.click(browser.by_words("a.button", "Continue"))
    browser.wait_for("Visa ending in 9995", "/portal/credits/cards")
    browser.open("/portal/credits/buy")
    browser.click(browser.by_words("label.choice", "9995"))
    browser.click(browser.by_words("button[name=package]", "Starter"))
    browser.wait_for("There is not enough money on the card. Nothing was paid.")
    browser.open("/portal/credits/cards")
    question = "button[value=remove]"
    assert not any(browser.read(button) for button in browser.all(question)), "the button to remove a card is not there at once"
    browser.click(browser.by_words("summary", "9995"))
    browser.click(browser.by_words(question, "9995"))
    browser.expect("The card was removed.")
    assert not browser.reads("9995")
    print("a declined card is told in the portal, and removed on a second click")


def automatic(browser):
    """Sets a rule, lets usage go below its threshold, and sees what was bought; at its limit it buys no more, and says so."""
    server = browser.server
    browser.open("/portal/credits/overview")
    browser.click(browser.by_words("main a.button", "Automatic top-up"))
    browser.click(browser.one("input[name=enabled]"))
    browser.type("#threshold", "a lot")
    browser.click(browser.by_words("button", "Save"))
    browser.expect("Nothing was saved", "The threshold must be a number.")
    browser.type("#threshold", "200")
    browser.type("#limit_day_count", "1")
    browser.click(browser.by_words("button", "Save"))
    browser.expect("Saved.", "It is on, and waits for the balance to run low.")
    server.use("zoe", "evt_1", "1000")
    browser.wait_for("Available 1 250 credits", "/portal/credits/overview")
    browser.expect("Automatic top-up: Starter", "Automatic top-up buys Starter when the balance falls below 200 credits.")
    browser.open("/portal/credits/history")
    browser.expect("Usage evt_1", "Credits added Automatic top-up: Starter", "+1 100", "−1 000")
    print("a rule set in the portal bought when usage went below its threshold")
    server.use("zoe", "evt_2", "1100")
    browser.wait_for("It has bought as much as it may in a day", "/portal/credits/automatic")
    browser.open("/portal/credits/overview")
    browser.expect("Available 150 credits")
    print("at its limit of one purchase a day the rule rests, and the portal says so")


def limits(browser):
    """The least and the most of a payment and the highest balance, by hand and by rule."""
    server = browser.server
    browser.open(server.link("somebody", currency="euro", page="buy"))
    browser.expect("An amount of your own", "5.00 to 100.00 EUR")

    def refused(amount, why):
        browser.type("#amount", amount)
        browser.click(browser.by_words("button", "Buy this amount"))
        browser.expect(why)

    refused("4.99", "The payment must be 5.00 EUR at the least.")
    refused("100.01", "The payment must be 100.00 EUR at most.")
    refused("ten", "This is not an amount.")
    assert server.call("GET", "/v1/top-ups?customer=somebody")["data"] == []
    browser.type("#amount", "100")
    browser.click(browser.by_words("button", "Buy this amount"))
    browser.pay("4242 4242 4242 4242")
    browser.click(browser.by_words("a.button", "Continue"))
    browser.wait_for("Paid. The credits are in your wallet.")
    browser.open("/portal/euro/buy")
    refused("20.01", "The payment would lead to a balance above 12000.")
    browser.open("/portal/euro/automatic")
    browser.click(browser.one("input[name=enabled]"))
    browser.click(browser.one("#mode-amount"))
    browser.type("#threshold", "100")
    browser.type("#amount", "200")
    browser.click(browser.by_words("button", "Save"))
    browser.expect("Nothing was saved", "100.00 EUR at most")
    assert len(server.call("GET", "/v1/top-ups?customer=somebody")["data"]) == 1
    print("limits of a payment and of the balance are told beside the field, by hand and by rule")


def keyboard(browser):
    """Buys with the keyboard alone; wherever the focus comes to, it is seen."""

    def to(what, wanted):
        for _ in range(60):
            browser.press("Tab")
            at = browser.evaluate(FOCUS)
            if at is None:
                continue
            assert at["seen"], f"the focus is not seen on {at}"
            if wanted(at):
                return
        raise AssertionError(f"{what} is not reached on {browser.seen()}")

    browser.open(browser.server.link("keys", currency="credits"))
    browser.expect("There are no credits.")
    browser.press("Tab")
    assert browser.evaluate(FOCUS)["words"] == "Skip to the content"
    browser.press("Enter")
    to("the way to buy", lambda at: at["tag"] == "A" and at["words"] == "Buy credits")
    browser.press("Enter")
    browser.leads_to("/portal/credits/buy")
    to("the card", lambda at: at["name"] == "card")
    browser.press("Space")
    to("the package", lambda at: at["name"] == "package" and at["value"] == "starter")
    browser.press("Enter")
    browser.leads_to("/checkout/")
    for field, typed in (("number", "4242424242424242"), ("expiry", "12/35"), ("cvc", "123")):
        to(field, lambda at, field=field: at["name"] == field)
        browser.press(typed)
    browser.press("Enter")
    browser.expect("The payment was made.")
    to("the way back", lambda at: at["words"] == "Continue")
    browser.press("Enter")
    browser.wait_for("Paid. The credits are in your wallet.")
    browser.open("/portal/credits/overview")
    browser.expect("Available 1 100 credits")
    print("bought with the keyboard alone; the focus was seen at every step")


def stranger_site(server, token):
    """A site that has a form of the portal's on it."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            form = f'<form method="post" action="{server.url}/portal/credits/buy"><input name="token" value="{token}">'
            fields = '<input name="once" value="x"><input name="package" value="starter"><input name="card" value=""><button>Win</button></form>'
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!DOCTYPE html>{form}{fields}".encode())

        def log_message(self, *_):
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    return site


def forgery(browser):
    """Forms of other sites do nothing, nor does one with the token of another visit."""
    server = browser.server
    browser.open(server.link("zoe", currency="credits", page="buy"))
    token = browser.command("GET", f"/element/{browser.all('input[name=token]')[0]}/attribute/value")
    before = server.call("GET", "/v1/top-ups?customer=zoe")["data"]
    site = stranger_site(server, token)
    # To browsers another port of the same host is the same site, which the cookie goes along with; another name is none.
    for host, says in (("127.0.0.1", "The form did not come from a page of the portal. Nothing was done."), ("localhost", "The portal is not open")):
        browser.open(f"http://{host}:{site.server_port}/")
        browser.click(browser.one("button"))
        browser.expect(says)
    site.shutdown()
    browser.open("/portal/credits/buy")
    browser.evaluate("document.querySelectorAll('main input[name=token]').forEach(field => field.value = '0'.repeat(32))")
    browser.click(browser.by_words("button[name=package]", "Starter"))
    browser.expect("The page was of another visit, and nothing was done.")
    assert server.call("GET", "/v1/top-ups?customer=zoe")["data"] == before
    print("forms of other sites and of other visits are refused, and nothing is bought")


def links(browser, other):
    """Nothing opens without a link that is whole, of this server, in time and not taken back. `other` is a server of short-lived links."""
    server = browser.server
    whole = server.link("zoe")
    browser.open(whole[:-4])
    browser.expect("The portal is not open", "open it again")
    browser.open(whole.replace(server.url, other.url))
    browser.expect("The portal is not open")
    browser.open(server.link("somebody"))
    browser.open("/portal/credits/invoices/1")
    browser.expect("Nothing here")
    # It opens again and again as long as it is good.
    for _ in range(2):
        browser.open(whole)
        browser.expect("Signed in for Zoë Müller")
    server.call("DELETE", "/v1/customers/zoe/portal-sessions")
    browser.open("/portal/credits/overview")
    browser.expect("The portal was closed", "Back to Example Cloud")
    browser.open(whole)
    browser.expect("The portal was closed")
    browser.open(server.link("zoe"))
    browser.expect("Signed in for Zoë Müller")
    print("links that are cut short, another server's or taken back open nothing")
    other.call("PUT", "/v1/credit-currencies/credits", {"scale": 0})
    short = other.link("zoe")

    def is_over():
        browser.open(short)
        return browser.reads("This link is over")

    until(browser.seen, is_over)
    browser.expect("For your safety the portal closes by itself.", "Back to Example Cloud")
    print("a link that is over says so, and leads back")
