//! How wide text is, and where it breaks.

use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};

/// A font as far as setting text needs it. Widths are in points.
pub(super) struct Ruler<'a> {
    font: FontRef<'a>,
}

impl<'a> Ruler<'a> {
    /// `None` if the bytes are no font.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        FontRef::new(bytes).ok().map(|font| Ruler { font })
    }

    /// Whether the font can show a character.
    pub(super) fn has(&self, character: char) -> bool {
        self.font.charmap().map(character).is_some_and(|glyph| glyph.to_u32() != 0)
    }

    /// The width of a text in a size. Kerning is left out: it makes a line narrower if anything, by less than a point.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let metrics = self.metrics(size);
        text.chars().map(|character| self.advance(&metrics, character)).sum()
    }

    /// Breaks a text into lines that are `width` wide at most: at spaces, and within a word only where it is wider than a whole line.
    pub(super) fn lines(&self, text: &str, size: f32, width: f32) -> Vec<String> {
        let metrics = self.metrics(size);
        let space = self.advance(&metrics, ' ');
        let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0.0);
        for word in text.split_whitespace() {
            let wide: f32 = word.chars().map(|character| self.advance(&metrics, character)).sum();
            if !line.is_empty() && used + space + wide > width {
                lines.push(std::mem::take(&mut line));
                used = 0.0;
            }
            if !line.is_empty() {
                line.push(' ');
                used += space;
            }
            for character in word.chars() {
                let advance = self.advance(&metrics, character);
                if !line.is_empty() && used + advance > width {
                    lines.push(std::mem::take(&mut line));
                    used = 0.0;
                }
                line.push(character);
                used += advance;
            }
        }
        if !line.is_empty() || lines.is_empty() {
            lines.push(line);
        }
        lines
    }

    fn metrics(&self, size: f32) -> GlyphMetrics<'a> {
        self.font.glyph_metrics(Size::new(size), LocationRef::default())
    }

    fn advance(&self, metrics: &GlyphMetrics<'_>, character: char) -> f32 {
        let glyph = self.font.charmap().map(character).unwrap_or_default();
        metrics.advance_width(glyph).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use epaint_default_fonts::UBUNTU_LIGHT;
    use proptest::prelude::*;

    fn ruler() -> Ruler<'static> {
        Ruler::new(UBUNTU_LIGHT).expect("a font")
    }

    #[test]
    fn text_breaks_at_spaces_and_long_words_where_they_must() {
        let ruler = ruler();
        let width = ruler.width("hello world", 10.0) - 0.1;
        assert_eq!(ruler.lines("hello  world", 10.0, width), ["hello", "world"]);
        assert_eq!(ruler.lines("", 10.0, width), [""]);
        assert!(ruler.lines("helloworldhelloworld", 10.0, width).len() > 1);
    }

    #[test]
    fn latin_greek_and_cyrillic_can_be_shown() {
        let ruler = ruler();
        assert!("Zoë Müller, Αθήνα, Москва, 12\u{202f}345.67 €".chars().all(|c| ruler.has(c) || c == '\u{202f}'));
        assert!(!ruler.has('漢'));
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_and_nothing_is_lost(text in "\\PC{0,200}", width in 20.0_f32..400.0) {
            let ruler = ruler();
            let lines = ruler.lines(&text, 10.0, width);
            for line in &lines {
                prop_assert!(ruler.width(line, 10.0) <= width + 0.01 || line.chars().count() == 1);
            }
            let bare = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
        }
    }
}
