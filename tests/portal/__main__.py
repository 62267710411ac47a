"""The portal of real servers in headless Chromium, driven over WebDriver with nothing but the standard library (tests/portal.sh).

    portal DRAWDOWN CHROMIUM CHROMEDRIVER FOLDER [SHOTS]

`flows.py`: a customer opens its link, buys a package on the hosted checkout, sees its balance, is told of a declined card, sets a rule, sees the automatic
top-up that usage sets off, is held to limits. Scripts are switched off in that browser. A second one, in which they are on for the test's own sake,
buys with the keyboard alone, tries what strangers try, and looks at every page (`checks.py`): large and small, by day and by night, and with more and
longer things on it than one would wish. FOLDER is for data, SHOTS for pictures of all of it.

Ends with 0 if all is as it should be, and with a message otherwise.
"""

import base64
import contextlib
import re
import signal
import sys
import urllib.request

import flows
from browser import Browser, Driver, Server, until
from checks import keep, look, plant

DRAWDOWN, CHROMIUM, CHROMEDRIVER, FOLDER = sys.argv[1:5]
SHOTS = sys.argv[5] if len(sys.argv) > 5 else None
LONG = "Internationale Gesellschaft für Rechenleistung_und_ununterbrochene_Verfügbarkeit_mbH & Co. KGaA (Zweigniederlassung)"


def set_up_hard_cases(server):
    """Customers of whom there is too much, or too little."""
    call = server.call
    long = {"name": LONG, "currency": "credits", "credits": "123456789012", "price": {"amount": "99999.99", "currency": "EUR"}}
    call("PUT", "/v1/credit-packages/long", long)
    call("PUT", "/v1/customers/crowd", {"name": LONG})
    for number in range(120):
        flows.give(server, "crowd", f"{number + 1}.25", expires_at=f"2031-01-{number % 28 + 1:02}T00:00:00Z")
    flows.give(server, "crowd", "1234567890.12", effective_at="2031-01-01T00:00:00Z")
    server.use("crowd", "x" * 120, "0.01")
    flows.give(server, "debtor", "5")
    server.use("debtor", "evt_debt", "12345.67", on_insufficient="overdraft")
    flows.give(server, "nought", "5")
    server.use("nought", "evt_nought", "5")
    flows.give(server, "frozen", "5")
    call("PATCH", "/v1/wallets/frozen/credits", {"status": "frozen"})
    flows.give(server, "archived", "5")
    call("POST", "/v1/customers/archived/archive")


def fetch(browser, path):
    """What the server answers to the browser's cookie: the kind, and the content."""
    cookie = "; ".join(f"{name}={cookie['value']}" for name, cookie in browser.cookies().items())
    ask = urllib.request.Request(browser.server.url + path, headers={"cookie": cookie})
    with urllib.request.urlopen(ask) as answer:
        return answer.headers["content-type"], answer.read()


def hold_still(browser, path):
    """Opens a page that looks again by itself without that it does."""
    browser.open("/portal/credits/cards")
    text = fetch(browser, path)[1].decode()
    still = re.sub(r'<meta http-equiv="refresh"[^>]*>', "", text)
    assert still != text, f"{path} does not look again"
    frame = browser.devtools("Page.getFrameTree")["frameTree"]["frame"]["id"]
    browser.devtools("Page.setDocumentContent", frameId=frame, html=still)
    until(browser.seen, lambda: browser.evaluate("document.readyState === 'complete' && document.styleSheets.length === 1"))


def invoices(browser):
    """An invoice as it is printed, and as PDF."""
    browser.open("/portal/credits/invoices/1")
    browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    printed = base64.b64decode(browser.devtools("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert printed.count(b"/Type /Page\n") == 1, "a receipt of one line is printed on one page"
    keep(SHOTS, "invoice-printed.pdf", printed)
    kind, file = fetch(browser, "/portal/credits/invoices/1.pdf")
    assert kind == "application/pdf", kind
    assert file.startswith(b"%PDF-1.") and file.rstrip().endswith(b"%%EOF")
    keep(SHOTS, "invoice.pdf", file)


def deposits(browser, see):
    """The page of a deposit: asked for, paid in part, paid; of any amount; over; of much and long."""
    call = browser.server.call
    back = f"{browser.server.url}/payments/done?shop=1"
    call("PUT", "/v1/credit-currencies/BTC", {"scale": 8})
    accepts = [{"currency": "BTC", "address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"}, {"currency": "euro", "address": "DE00 1234 5678 9012 3456 00"}]
    call("PUT", "/v1/deposit-forms/shop", {"title": "Pay in to your wallet", "accepts": accepts, "return_url": back, "expires_in_seconds": 86_400})
    call("PUT", "/v1/deposit-forms/long", {"title": "W" * 128, "accepts": [{"currency": "BTC", "address": "bc1" + "q" * 252}]})

    def make(currency, form="shop", **more):
        made = call("POST", "/v1/top-ups", {"customer": "payer", "kind": "deposit", "form": form, "currency": currency, **more})
        return made["id"], made["checkout_url"]

    def receive(id, amount, key):
        call("POST", f"/v1/top-ups/{id}/confirm", {"amount": amount, "key": key})

    def shown(path, name, *words):
        browser.open(path)
        browser.expect(*words)
        see(name)

    half = {"amount": "0.5", "amount_currency": "BTC"}
    id, url = make("BTC", **half)
    # It is anybody's who has its address: no visit of the portal's goes along.
    path = url.removeprefix(browser.server.url)
    browser.open(path)
    browser.expect("Send it to the address below.", "Amount 0.50000000 BTC", f"Reference {id}")
    browser.leads_to(f"/deposits/{id}")
    hold_still(browser, path)
    see("deposit")
    receive(id, "0.2", "first")
    browser.open(path)
    browser.expect("Received 0.20000000 BTC", "Still to send 0.30000000 BTC")
    hold_still(browser, path)
    see("deposit-part")
    browser.open(path)
    receive(id, "0.3", "second")
    # By itself: nobody loads it again.
    browser.expect("All of it has come. Thank you.")
    see("deposit-paid")
    browser.click(browser.by_words("a.button", "Back to Example Cloud"))
    browser.leads_to(f"/payments/done?shop=1&top_up={id}&session={id}")
    any_amount = make("euro")[1].removeprefix(browser.server.url)
    hold_still(browser, any_amount)
    browser.expect("any, in EUR", "DE00 1234 5678 9012 3456 00")
    see("deposit-any")
    over, url = make("BTC", **half)
    call("POST", f"/v1/top-ups/{over}/cancel")
    shown(url.removeprefix(browser.server.url), "deposit-over", "Do not send anything any more.")
    long, url = make("BTC", form="long", amount="12345678901.12345678", amount_currency="BTC")
    receive(long, "0.00000001", "long")
    hold_still(browser, url.removeprefix(browser.server.url))
    see("deposit-long")
    shown("/deposits/nothing", "deposit-nothing", "There is no such deposit.")
    print("a deposit's page says what is to be sent where, what has come, and leads back with the session's id")


def look_at_all(browser):
    """Looks at every page as it is, after forms with something wrong in them, and after orders."""
    wrong, titles = [], {}

    def see(name):
        titles.setdefault(browser.evaluate("document.title"), []).append(name)
        wrong.extend(look(browser, name, SHOTS))

    def order(card):
        browser.open("/portal/credits/buy")
        browser.click(browser.by_words("label.choice", card))
        browser.click(browser.by_words("button[name=package]", "Starter"))

    server = browser.server
    browser.open(server.link("zoe"))
    plant(browser)
    pages = {
        "overview": "/portal/credits/overview",
        "overview-empty": "/portal/euro/overview",
        "buy": "/portal/credits/buy",
        "buy-amount": "/portal/euro/buy",
        "automatic": "/portal/credits/automatic",
        "automatic-amount": "/portal/euro/automatic",
        "cards": "/portal/credits/cards",
        "history": "/portal/credits/history",
        "history-empty": "/portal/euro/history",
        "invoices": "/portal/credits/invoices",
        "invoice": "/portal/credits/invoices/1",
        "nothing": "/portal/none/overview",
    }
    for name, path in pages.items():
        browser.open(path)
        see(name)
    sections = [title for title, names in titles.items() if names[0] in ("overview", "buy", "automatic", "cards", "history", "invoices")]
    assert len(sections) == 6, f"each section has a title of its own: {titles}"
    invoices(browser)
    browser.open("/portal/credits/cards")
    browser.click(browser.by_words("summary", "4242"))
    see("cards-removing")
    browser.open("/portal/credits/automatic")
    browser.type("#threshold", "a lot")
    browser.type("#quantity", "1.5")
    browser.type("#limit_week_amount", "0")
    browser.click(browser.by_words("button", "Save"))
    browser.expect("Nothing was saved")
    see("automatic-rejected")
    browser.open("/portal/euro/buy")
    browser.type("#amount", "4")
    browser.click(browser.by_words("button", "Buy this amount"))
    browser.expect("at the least")
    see("buy-rejected")
    order("Another card")
    browser.leads_to("/checkout/")
    browser.click(browser.one("summary"))
    see("checkout")
    browser.pay("4000 0000 0000 0002")
    browser.expect("declined")
    see("checkout-declined")
    top_up = server.call("GET", "/v1/top-ups?customer=zoe&limit=1")["data"][0]["id"]
    hold_still(browser, f"/portal/credits/purchase?top_up={top_up}")
    see("purchase-waiting")
    browser.open(f"/portal/credits/purchase?top_up={top_up}")
    browser.click(browser.by_words("button", "Call it off"))
    browser.expect("called off")
    see("purchase-canceled")
    order("Another card")
    browser.pay("4000 0027 6000 3184")
    browser.expect("Confirm the payment")
    see("confirmation")
    browser.click(browser.by_words("button", "Confirm"))
    browser.expect("The payment was made.")
    see("confirmed")
    browser.click(browser.by_words("a.button", "Continue"))
    browser.wait_for("Paid. The credits are in your wallet.")
    see("purchase-paid")
    order("Another card")
    browser.pay("4000 0027 6000 3184")
    browser.expect("Confirm the payment")
    browser.click(browser.by_words("button", "Refuse"))
    browser.expect("The payment was not made.")
    see("refused")
    deposits(browser, see)
    browser.open("/portal/credits/overview")
    browser.click(browser.by_words("button", "Sign out"))
    browser.expect("Signed out")
    see("signed-out")
    browser.open("/portal/credits/overview")
    see("closed")
    for customer, says in {
        "crowd": "and 21 more.",
        "debtor": "Owed 12 340.67 credits",
        "nought": "The credits are used up.",
        "frozen": "The wallet is frozen",
        "archived": "This account takes no new credits.",
    }.items():
        browser.open(server.link(customer, currency="credits"))
        browser.expect(says)
        for page in ("overview", "history", "buy", "automatic", "cards", "invoices"):
            browser.open(f"/portal/credits/{page}")
            see(f"{customer}-{page}")
    assert not wrong, "\n".join(wrong)
    print("every page has its names, order, contrast, width and sizes, on a desktop, a phone and a narrow one, by day and by night")


def main():
    # Ended from outside, it stops what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    servers = [Server(DRAWDOWN, f"{FOLDER}/data")]
    browsers, driver = [], None
    try:
        servers.append(Server(DRAWDOWN, f"{FOLDER}/short", "--portal-link-time", "1s", "--portal-session-time", "1s"))
        server = servers[0]
        flows.set_up(server)
        driver = Driver(CHROMEDRIVER)
        browsers.append(customer := Browser(driver, CHROMIUM, f"{FOLDER}/customer", server, scripts=False))
        for flow in (flows.buy, flows.declined_card, flows.automatic, flows.limits):
            flow(customer)
        flows.links(customer, servers[1])
        set_up_hard_cases(server)
        browsers.append(observer := Browser(driver, CHROMIUM, f"{FOLDER}/observer", server, scripts=True))
        flows.keyboard(observer)
        flows.forgery(observer)
        look_at_all(observer)
    except BaseException:
        for server in servers:
            print(server.told(), file=sys.stderr)
        raise
    finally:
        # Browsers first: without their driver they stay, and go on writing into their folders.
        with contextlib.ExitStack() as stack:
            for started in [driver, *servers, *browsers]:
                if started:
                    stack.callback(started.stop)


main()
