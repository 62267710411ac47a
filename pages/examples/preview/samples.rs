//! Every page with sample values: what the preview shows, and what the tests look at.

use drawdown_pages::automatic::{Automatic, LimitRow, Mode, PackageChoice};
use drawdown_pages::buy::{AmountOffer, Buy, PackageOffer};
use drawdown_pages::cards::{CardChoice, CardRow, Cards};
use drawdown_pages::checkout::{Checkout, Confirmation};
use drawdown_pages::deposit::Deposit;
use drawdown_pages::history::{EntryRow, History};
use drawdown_pages::invoice::{Invoice, Kind, Line, PaymentLine};
use drawdown_pages::invoices::{InvoiceRow, Invoices};
use drawdown_pages::notice::Notice;
use drawdown_pages::overview::{GrantRow, Overview};
use drawdown_pages::purchase::Purchase;
use drawdown_pages::{Session, Tone, WalletLink};

const NOW: &str = "2026-11-26T09:30:00Z";
pub(crate) const SESSION: Session<'_> = Session {
    merchant: "Example Cloud",
    customer: "Zoë Müller",
    base: ".",
    return_url: Some("https://example.com/account"),
    token: "t0k3n",
    is_test: true,
    wallets: &[
        WalletLink { currency: "credits", name: "Compute credits" },
        WalletLink { currency: "minutes", name: "Call minutes" },
    ],
    currency: "credits",
    message: None,
};
const CHOICES: &[CardChoice<'_>] = &[CardChoice { id: "pm_1", title: "Visa ending in 4242" }];

pub(crate) fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("overview", overview(true).page(&SESSION)),
        ("overview-empty", overview(false).page(&SESSION)),
        ("history", history().page(&SESSION)),
        ("buy", buy(None).page(&Session { message: Some((Tone::Bad, "The card was declined.")), ..SESSION })),
        ("buy-rejected", buy(Some(("1e9", "must be 5 to 100 USD"))).page(&SESSION)),
        ("purchase", purchase().page(&SESSION)),
        ("cards", cards().page(&SESSION)),
        ("automatic", automatic(&[]).page(&Session { message: Some((Tone::Good, "Saved.")), ..SESSION })),
        ("automatic-rejected", automatic(&[("threshold", "The threshold must be a number.")]).page(&SESSION)),
        ("invoices", invoices().page(&SESSION)),
        ("invoice", invoice().page(".", "invoice.pdf", Some("invoices.html"))),
        ("checkout", checkout().page()),
        ("confirmation", confirmation().page()),
        ("deposit", deposit().page()),
        ("expired", expired().page()),
    ]
}

fn overview(has_grants: bool) -> Overview<'static> {
    const GRANT: GrantRow<'_> = GrantRow {
        title: "Monthly plan",
        is_promotional: false,
        remaining: "740.25",
        granted: "1000",
        remaining_units: 74_025,
        begins_at: None,
        expires_at: Some("2026-12-01T00:00:00Z"),
    };
    const GRANTS: &[GrantRow<'_>] = &[
        GRANT,
        GrantRow {
            title: "Welcome gift",
            is_promotional: true,
            remaining: "50",
            granted: "100",
            remaining_units: 5_000,
            ..GRANT
        },
        GrantRow {
            title: "Package Starter",
            remaining: "1100",
            granted: "1100",
            remaining_units: 110_000,
            expires_at: None,
            ..GRANT
        },
        GrantRow {
            title: "Contract 2027",
            remaining: "50000",
            granted: "50000",
            remaining_units: 5_000_000,
            begins_at: Some("2027-01-01T00:00:00Z"),
            expires_at: Some("2028-01-01T00:00:00Z"),
            ..GRANT
        },
    ];
    Overview {
        symbol: "credits",
        balance: if has_grants { "1890.25" } else { "0" },
        held: if has_grants { "12.5" } else { "0" },
        available: if has_grants { "1877.75" } else { "0" },
        projected: if has_grants { "1377.75" } else { "0" },
        pending: has_grants.then_some("1000"),
        debt: None,
        notice: (!has_grants)
            .then_some((Tone::Notice, "The balance is used up. Usage is refused until you buy credits.")),
        grants: if has_grants { GRANTS } else { &[] },
        more: 0,
        automatic: has_grants.then_some("Automatic top-up buys Starter when the balance falls below 200."),
        is_closed: false,
    }
}

pub(crate) fn history() -> History<'static> {
    const USAGE: EntryRow<'_> = EntryRow {
        time: NOW,
        title: "Usage",
        detail: Some("tokens.used, 1800"),
        amount: "-3.5",
        balance_after: "1890.25",
    };
    History {
        symbol: "credits",
        entries: &[
            USAGE,
            EntryRow { title: "Package Starter", detail: None, amount: "1100", balance_after: "1893.75", ..USAGE },
            EntryRow {
                title: "Expired",
                detail: Some("Welcome gift"),
                amount: "-50",
                balance_after: "793.75",
                ..USAGE
            },
        ],
        older: Some("4096"),
        is_later_page: true,
    }
}

fn buy(rejected: Option<(&'static str, &'static str)>) -> Buy<'static> {
    const STARTER: PackageOffer<'_> = PackageOffer {
        id: "starter",
        name: "Starter",
        credits: "1000",
        bonus: Some("100"),
        price: "10.00 USD",
        lasts: Some("90 days"),
    };
    Buy {
        symbol: "credits",
        once: "0nc3",
        packages: &[
            STARTER,
            PackageOffer { id: "team", name: "Team", credits: "12000", bonus: None, price: "100.00 USD", lasts: None },
        ],
        amount: Some(AmountOffer { currency: "USD", min: Some("5"), max: Some("100"), rejected }),
        cards: CHOICES,
        closed: None,
    }
}

fn purchase() -> Purchase<'static> {
    Purchase {
        title: "Your purchase",
        goods: Some("Starter"),
        credits: Some("1100"),
        symbol: "credits",
        price: Some(("10.00", "USD")),
        state: (Tone::Notice, "It is not paid yet."),
        next: Some(("https://pay.example/1", "Go to the payment page")),
        cancel: Some(("./credits/purchase", "top_1")),
        refresh: Some((5, None)),
        back: ("./credits/overview", "Back to the balance"),
    }
}

fn cards() -> Cards<'static> {
    const VISA: CardRow<'_> = CardRow {
        id: "pm_1",
        brand: "Visa",
        last4: Some("4242"),
        expires: Some("04/28"),
        is_expired: false,
        is_default: true,
    };
    Cards {
        cards: &[
            VISA,
            CardRow {
                id: "pm_2",
                brand: "Mastercard",
                last4: Some("4444"),
                expires: Some("01/25"),
                is_expired: true,
                is_default: false,
            },
        ],
        can_add: true,
    }
}

fn automatic(errors: &'static [(&'static str, &'static str)]) -> Automatic<'static> {
    Automatic {
        symbol: "credits",
        is_enabled: true,
        state: Some((Tone::Notice, "Suspended: the card was declined three times.")),
        remedy: Some(("./credits/cards", "Add another card")),
        threshold: if errors.is_empty() { "200" } else { "two hundred" },
        mode: Mode::Package,
        quantity: "1",
        package: "starter",
        packages: &[PackageChoice { id: "starter", title: "Starter: 1000 credits for 10.00 USD" }],
        amount: "",
        money: Some("USD"),
        target: "",
        limits: [LimitRow { count: "3", amount: "" }, LimitRow::default(), LimitRow { count: "", amount: "100.00" }],
        card: "",
        cards: CHOICES,
        errors,
    }
}

fn invoices() -> Invoices<'static> {
    const PAID: InvoiceRow<'_> = InvoiceRow {
        number: "2026-000042",
        issued_at: NOW,
        title: "Package Starter",
        total: "10.00",
        currency: "USD",
        status: "paid",
    };
    Invoices {
        invoices: &[PAID, InvoiceRow { number: "2026-000041", status: "refunded", total: "1200.00", ..PAID }],
        older: None,
    }
}

pub(crate) fn invoice() -> Invoice<'static> {
    Invoice {
        kind: Kind::Receipt,
        number: "2026-000042",
        refers_to: None,
        issued_at: NOW,
        seller: &["Example Cloud Ltd", "1 High Street", "London"],
        buyer: &["Zoë Müller", "Hauptstraße 1", "10115 Berlin"],
        lines: &[
            Line {
                title: "Package Starter: 1000 credits and 100 free, for 90 days",
                quantity: "1",
                unit_price: "10.00",
                amount: "10.00",
            },
            Line { title: "Support", quantity: "2", unit_price: "600.00", amount: "1200.00" },
        ],
        total: "1210.00",
        currency: "USD",
        payments: &[
            PaymentLine { method: "Wallet", paid_at: NOW, amount: "210.00" },
            PaymentLine { method: "Visa ending in 4242", paid_at: NOW, amount: "1000.00" },
        ],
        due: "0.00",
        note: Some("Credits cannot be exchanged for money."),
    }
}

fn checkout() -> Checkout<'static> {
    Checkout {
        base: ".",
        action: "/checkout/cs_1",
        token: "t0k3n",
        merchant: "Example Cloud",
        title: "Starter: 1000 credits",
        amount: Some("10.00"),
        currency: "USD",
        expires_at: NOW,
        test_cards: &[("4242424242424242", "pays"), ("4000 0000 0000 0002", "is declined")],
        cancel_url: Some("https://example.com/account"),
        error: Some(("number", "The card number is not one of the test cards.")),
    }
}

fn confirmation() -> Confirmation<'static> {
    Confirmation {
        base: ".",
        action: "/x",
        token: "t0k3n",
        merchant: "Example Cloud",
        amount: "10.00",
        currency: "USD",
    }
}

pub(crate) fn deposit() -> Deposit<'static> {
    Deposit {
        base: ".",
        merchant: "Example Cloud",
        title: "Pay in by Bitcoin",
        state: (Tone::Notice, "A part of it has come. Send the rest to the same address."),
        currency: "BTC",
        asked: Some("0.50000000"),
        received: Some("0.20000000"),
        missing: Some("0.30000000"),
        refunded: None,
        thousandths: 400,
        address: Some("bc1qexampleexampleexampleexampleexample"),
        expires_at: Some(NOW),
        reference: "tup_1",
        refresh: Some(10),
        back: Some("https://example.com/account?top_up=tup_1&session=tup_1"),
    }
}

fn expired() -> Notice<'static> {
    Notice {
        base: ".",
        title: "This link is over",
        text: "Links to the portal last for an hour. Go back and open it again.",
        tone: Tone::Notice,
        link: Some(("https://example.com/account", "Back to Example Cloud")),
    }
}
