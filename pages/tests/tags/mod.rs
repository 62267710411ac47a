//! Just enough of HTML to look at the tags of pages that `maud` wrote: attributes in double quotes, no comments.

/// A tag.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) is_end: bool,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }
}

/// All tags of a page but its document type, in order.
pub(crate) fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(begin) = rest.find('<') {
        rest = &rest[begin + 1..];
        let is_end = rest.starts_with('/');
        rest = rest.trim_start_matches('/');
        let name_end = rest.find(|c: char| c.is_whitespace() || c == '>').expect("tags end");
        let name = rest[..name_end].to_owned();
        rest = &rest[name_end..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(behind) = rest.strip_prefix('>') {
                rest = behind;
                break;
            }
            let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '>').expect("attributes end");
            let attribute = rest[..end].to_owned();
            rest = &rest[end..];
            let mut value = "";
            if let Some(quoted) = rest.strip_prefix("=\"") {
                let end = quoted.find('"').expect("values end");
                value = &quoted[..end];
                rest = &quoted[end + 1..];
            }
            attributes.push((attribute, value.to_owned()));
        }
        if !name.starts_with('!') {
            tags.push(Tag { name, is_end, attributes });
        }
    }
    tags
}
