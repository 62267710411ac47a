//! Writes every page with sample values into a folder, to look at: `cargo run -p drawdown-pages --example preview -- FOLDER`.

mod samples;

use drawdown_pages::STYLE;
use samples::{invoice, pages};
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::args().nth(1).ok_or("which folder?")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    fs::write(folder.join("portal.css"), STYLE)?;
    for (name, page) in pages() {
        fs::write(folder.join(format!("{name}.html")), page)?;
    }
    fs::write(folder.join("invoice.pdf"), invoice().pdf()?)?;
    println!("{}", folder.display());
    Ok(())
}
