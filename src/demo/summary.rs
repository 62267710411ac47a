//! What is printed before and after.

use super::audit::Report;
use super::books::Account;
use super::buying::Link;
use super::credits::{grouped, shown};
use super::money::euros;
use super::plan::{METERS, Plan};
use super::receiver::Inbox;
use super::terminal::{Style, painted};
use super::{Options, Speed, trace};
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// A length of time for people.
pub(super) struct Short(pub(super) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.as_micros() {
            us @ 0..1_000 => format!("{us} µs"),
            us @ 1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us / 100 % 10),
            us => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
        };
        f.pad(&text)
    }
}

/// The speed for people.
impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Speed::Times(times) => write!(f, "{times} times its own speed"),
            Speed::Max => f.write_str("full speed"),
        }
    }
}

/// Prints what will happen.
pub(super) fn announce(options: &Options, plan: &Plan, address: SocketAddr) {
    let rows = grouped(plan.rows.len() as u64);
    let minutes = plan.rows.last().map_or(0, |row| row.at.as_secs().div_ceil(60));
    say(format_args!("{}: {rows} requests in {minutes} minutes, at {}", trace::NAME, options.speed));
    say(format_args!("{} wallets; the server listens on http://{address}", plan.wallets.len()));
}

/// A line of the summary.
fn line(name: &str, value: fmt::Arguments<'_>) {
    say(format_args!("{name:<14}{value}"));
}

/// Prints what happened.
pub(super) fn print(plan: &Plan, account: &Account, report: &Report, rows: usize, took: Duration, log_before: u64) {
    let credits = |units| shown(units);
    let events = account.answered();
    let log_bytes = report.stats.log.tail - log_before;
    let per_second = u128::from(events) * 1000 / took.as_millis().max(1);

    say(format_args!(""));
    let part = if rows < plan.rows.len() {
        format!(" of {}: stopped on the way", grouped(plan.rows.len() as u64))
    } else {
        String::new()
    };
    line("rows", format_args!("{}{part}", grouped(rows as u64)));
    line("events", format_args!("{} in {}, {per_second} a second", grouped(events), Short(took)));
    line("  applied", format_args!("{}", grouped(account.applied)));
    line("  rejected", format_args!("{} for lack of credit", grouped(account.rejected)));
    line("  duplicate", format_args!("{} sent twice on purpose", grouped(account.duplicates)));
    for (index, meter) in METERS.iter().enumerate() {
        let tokens = grouped(report.tokens[index].unsigned_abs());
        let (name, rate) = (meter.name, meter.rate);
        line(name, format_args!("{tokens} tokens at {rate}; {} credits debited", credits(report.debited[index])));
    }
    line("debited", format_args!("{} credits", credits(report.debited.iter().sum())));
    let dry = account.wallets.iter().filter(|wallet| wallet.rejections > 0).count();
    line("wallets", format_args!("{}, of which {dry} ran dry", grouped(report.stats.wallets)));
    line("crossings", format_args!("{}", grouped(account.told)));
    let money = &report.money;
    let (completed, charged, credited) = (grouped(money.completed), euros(money.charged), credits(money.credited));
    line("top-ups", format_args!("{completed} completed by themselves: {charged} charged, {credited} credits granted"));
    for rule in &money.declined {
        let retry = rule.retry_at.as_deref().map_or_else(String::new, |at| format!(", next attempt at {at}"));
        let status = painted(Style::Yellow, &rule.status);
        line("  declined", format_args!("{}: {}; its rule is {status}{retry}", rule.customer, rule.code));
    }
    line(
        "durable in",
        format_args!(
            "p50 {}, p99 {}, {} batches, {} syncs",
            Short(account.latency(50)),
            Short(account.latency(99)),
            grouped(account.batches),
            grouped(report.stats.log.syncs)
        ),
    );
    line("log", format_args!("{} bytes, {} an applied event", grouped(log_bytes), log_bytes / account.applied.max(1)));
}

/// Prints the first webhooks of each type, as far as they were not printed yet, and how many there were.
pub(super) fn tell_webhooks(inbox: &Inbox) {
    let count = inbox.count();
    let again = if count.again > 0 { format!(", {} came twice", grouped(count.again)) } else { String::new() };
    line("webhooks", format_args!("{} verified, {} refused{again}", grouped(count.verified), grouped(count.refused)));
    for text in inbox.new_lines() {
        say(format_args!("{text}"));
    }
    for (kind, count) in &count.by_kind {
        say(format_args!("  {:>8}  {kind}", grouped(*count)));
    }
}

/// Prints a customer's link, and how it is opened when the demo is over.
pub(super) fn tell_portal(options: &Options, address: SocketAddr, link: &Link) {
    line("portal", format_args!("of {}, for a day: {}", link.customer, painted(Style::Cyan, &link.url)));
    match &options.data {
        _ if options.stay => {}
        Some(data) => {
            say(format_args!("  opens with    drawdown serve --dev --data {} --listen {address}", data.display()));
        }
        None => say(format_args!("  opens with    drawdown demo --stay, or from a ledger that stays: --data DIR")),
    }
}

/// Prints what the audit found.
pub(super) fn tell_audit(report: &Report) {
    say(format_args!("\naudit"));
    for check in &report.checks {
        let [one, other] = check.names;
        let [figure, figure_too] = &check.figures;
        if check.agrees() {
            say(format_args!("  agrees     {one} {figure} = {figure_too} {other}"));
        } else {
            say(format_args!("  DISAGREES  {one} {figure} but {figure_too} {other}"));
        }
    }
    let verdict = if report.agrees() { "agrees" } else { "DISAGREES" };
    say(format_args!("The ledger {verdict} with the sum over the trace and the payment provider's book."));
}

/// Prints that the server is still there.
pub(super) fn tell_stay(address: SocketAddr) {
    say(format_args!("The server stays at http://{address}; ctrl-c ends it."));
}

/// Prints a line. Nobody listening is no reason to fail.
pub(super) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (us, text) in [(0, "0 µs"), (999, "999 µs"), (1_250, "1.2 ms"), (45_000, "45.0 ms"), (2_340_000, "2.3 s")]
        {
            assert_eq!(Short(Duration::from_micros(us)).to_string(), text);
        }
        assert_eq!(format!("{:>8}|", Short(Duration::from_micros(5))), "    5 µs|");
    }
}
