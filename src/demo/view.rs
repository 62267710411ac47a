//! The live view: how fast, how durable, whose balance runs low, what was crossed.

use super::books::{Account, Books, WalletAccount};
use super::credits::{grouped, shown};
use super::money::euros;
use super::plan::Plan;
use super::receiver::Inbox;
use super::summary::Short;
use super::terminal::{Line, Screen, Style, bar, has_colours, size, sparkline};
use super::{Options, trace};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Time between frames.
const FRAME: Duration = Duration::from_millis(100);

/// Frames over which the rate is taken.
const RATE_FRAMES: usize = 10;

/// Rates kept for the sparkline.
const RATES: usize = 60;

/// Where the right half begins.
const RIGHT: usize = 46;

/// Lines that are not part of the two lists.
const FIXED_LINES: usize = 12;

/// Shows the view until the replay has finished.
pub(super) async fn run(
    options: &Options,
    address: SocketAddr,
    plan: &Plan,
    books: &Books,
    inbox: &Inbox,
    mut finished: watch::Receiver<bool>,
) {
    // A terminal that cannot be written to shows nothing: the summary will tell.
    let Ok(mut screen) = Screen::enter() else { return };
    let colours = has_colours();
    let mut rates = Rates::default();
    loop {
        let account = books.snapshot();
        rates.note(account.answered());
        let (size, webhooks) = (size(), inbox.verified());
        let view = View { options, address, plan, account: &account, rates: &rates, webhooks, colours, size };
        if screen.show(&view.lines()).is_err() {
            return;
        }
        if tokio::time::timeout(FRAME, finished.wait_for(|&finished| finished)).await.is_ok() {
            return;
        }
    }
}

/// Events a second, now and before.
#[derive(Debug, Default)]
struct Rates {
    /// Instants and events answered, over the last frames.
    counts: VecDeque<(Instant, u64)>,
    history: VecDeque<u64>,
    frames: usize,
}

impl Rates {
    fn note(&mut self, answered: u64) {
        self.counts.push_back((Instant::now(), answered));
        if self.counts.len() > RATE_FRAMES {
            self.counts.pop_front();
        }
        self.frames += 1;
        if self.frames.is_multiple_of(RATE_FRAMES / 2) {
            self.history.push_back(self.now());
        }
        if self.history.len() > RATES {
            self.history.pop_front();
        }
    }

    fn now(&self) -> u64 {
        let (Some((from, before)), Some((to, after))) = (self.counts.front(), self.counts.back()) else { return 0 };
        let ms = u64::try_from(to.duration_since(*from).as_millis()).unwrap_or(u64::MAX);
        ((after - before) * 1000).checked_div(ms).unwrap_or(0)
    }
}

/// All that a frame is made of.
struct View<'a> {
    options: &'a Options,
    address: SocketAddr,
    plan: &'a Plan,
    account: &'a Account,
    rates: &'a Rates,
    /// Webhooks verified so far.
    webhooks: u64,
    colours: bool,
    size: (usize, usize),
}

impl View<'_> {
    fn line(&self) -> Line {
        Line::new(self.size.0, self.colours)
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = vec![self.title(), self.line(), self.progress(), self.line(), self.rate(), self.latency()];
        lines.extend([self.outcomes(), self.money(), self.line(), self.headings()]);
        lines.extend(self.lists(self.size.1.saturating_sub(FIXED_LINES)));
        lines.extend([self.line(), self.line().add(Style::Dim, " ctrl-c ends it with the summary so far")]);
        lines.truncate(self.size.1);
        lines
    }

    fn title(&self) -> Line {
        let line = self.line().add(Style::Bold, " drawdown").add(Style::Plain, &format!("  {}", trace::NAME));
        line.add(Style::Dim, &format!(", at {}   http://{}", self.options.speed, self.address))
    }

    fn progress(&self) -> Line {
        let (rows, all) = (self.account.rows, self.plan.rows.len());
        let last = self.plan.rows[..rows].last().map_or(Duration::ZERO, |row| row.at);
        let minutes = format!("{:02}:{:02}", last.as_secs() / 60, last.as_secs() % 60);
        let percent = (rows * 100).checked_div(all).unwrap_or(100);
        let line = self.line().add(Style::Plain, " ").add(Style::Cyan, &bar(rows as u64, all as u64, 40));
        let line = line.add(Style::Bold, &format!(" {percent:>3} %"));
        line.add(Style::Plain, &format!("  row {} of {}, minute {minutes}", grouped(rows as u64), grouped(all as u64)))
    }

    fn rate(&self) -> Line {
        let room = self.size.0.saturating_sub(24);
        let skip = self.rates.history.len().saturating_sub(room);
        let line =
            self.line().add(Style::Plain, " events/s  ").add(Style::Bold, &format!("{:>8}", grouped(self.rates.now())));
        line.add(Style::Plain, "   ").add(Style::Green, &sparkline(self.rates.history.iter().skip(skip).copied()))
    }

    fn latency(&self) -> Line {
        let (p50, p99) = (self.account.latency(50), self.account.latency(99));
        let line = self.line().add(Style::Plain, " durable in  p50 ").add(Style::Bold, &Short(p50).to_string());
        let line = line.add(Style::Plain, "   p99 ").add(Style::Bold, &Short(p99).to_string());
        line.add(
            Style::Dim,
            &format!("   from sending a batch to its answer; {} batches", grouped(self.account.batches)),
        )
    }

    fn outcomes(&self) -> Line {
        let account = self.account;
        let line = self.line().add(Style::Plain, " applied ").add(Style::Green, &grouped(account.applied));
        let line = line.add(Style::Plain, "   duplicate ").add(Style::Cyan, &grouped(account.duplicates));
        let line = line.add(Style::Plain, "   rejected ").add(Style::Red, &grouped(account.rejected));
        line.add(Style::Plain, "   debited ").add(Style::Bold, &shown(account.debited())).add(Style::Plain, " credits")
    }

    fn money(&self) -> Line {
        let bought = self.account.bought;
        let line = self.line().add(Style::Plain, " top-ups ").add(Style::Green, &grouped(bought.completed));
        let line = line.add(Style::Plain, " for ").add(Style::Bold, &euros(bought.minor));
        let line = line.add(Style::Plain, "   declined ").add(Style::Red, &grouped(bought.declined));
        line.add(Style::Plain, "   webhooks verified ").add(Style::Cyan, &grouped(self.webhooks))
    }

    fn headings(&self) -> Line {
        let line = self.line().add(Style::Bold, " lowest balances").add(Style::Dim, ", of what was granted").to(RIGHT);
        line.add(Style::Bold, "crossings").add(Style::Dim, &format!(", {} so far", grouped(self.account.told)))
    }

    /// The wallets nearest to nothing on the left, the newest crossings on the right.
    fn lists(&self, room: usize) -> Vec<Line> {
        let mut lowest: Vec<usize> = (0..self.account.wallets.len()).collect();
        let key = |&index: &usize| permille(&self.account.wallets[index]);
        lowest.sort_by_key(key);
        lowest.truncate(room);
        (0..room)
            .map(|place| {
                let line = self.line();
                let line = match lowest.get(place) {
                    Some(&index) => self.balance(line, index),
                    None => line,
                };
                self.crossing(line.to(RIGHT), place)
            })
            .collect()
    }

    fn balance(&self, line: Line, index: usize) -> Line {
        let wallet = &self.account.wallets[index];
        let permille = permille(wallet);
        let style = match permille {
            0..50 => Style::Red,
            50..200 => Style::Yellow,
            _ => Style::Green,
        };
        let line = line.add(Style::Plain, &format!(" {:<8}", self.plan.wallets[index].customer));
        let line = line.add(style, &bar(permille, 1000, 12));
        let line =
            line.add(Style::Plain, &format!(" {:>3}.{} % {:>10}", permille / 10, permille % 10, shown(wallet.balance)));
        if wallet.rejections > 0 { line.add(Style::Red, " dry") } else { line }
    }

    fn crossing(&self, line: Line, place: usize) -> Line {
        let Some(crossing) = self.account.crossings.get(place) else { return line };
        let style = if crossing.level == "low" { Style::Yellow } else { Style::Red };
        let at = format!("{:>4}.{} s ", crossing.at.as_secs(), crossing.at.subsec_millis() / 100);
        let line = line.add(Style::Dim, &at).add(Style::Plain, &format!("{:<8}", crossing.customer));
        line.add(style, &format!("{:<9}", crossing.level))
            .add(Style::Plain, &format!("{:>10}", shown(crossing.balance)))
    }
}

/// What is left of a wallet's credit.
fn permille(wallet: &WalletAccount) -> u64 {
    let left = u64::try_from(wallet.balance).unwrap_or(0) * 1000;
    left.checked_div(u64::try_from(wallet.granted + wallet.bought).unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Speed;

    #[test]
    fn a_frame_fits_any_terminal() {
        let plan = Plan::new(trace::rows(Some(100), None), 20);
        let books = Books::new(&plan);
        for number in 0..99 {
            books.enter_crossing(format!("cus_{number}"), "critical".into(), 12_345);
        }
        books.rows_sent(50);
        let options = Options {
            speed: Speed::Times(140),
            wallets: 20,
            data: None,
            limit: None,
            minutes: None,
            view: true,
            stay: false,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 7400));
        let (account, rates) = (books.snapshot(), Rates::default());
        for size in [(1, 1), (20, 5), (80, 24), (200, 60)] {
            let view = View {
                options: &options,
                address,
                plan: &plan,
                account: &account,
                rates: &rates,
                webhooks: 12_345,
                colours: false,
                size,
            };
            let lines = view.lines();
            assert!(lines.len() <= size.1, "{size:?}");
            assert!(lines.iter().all(|line| line.text().chars().count() <= size.0), "{size:?}");
        }
    }
}
