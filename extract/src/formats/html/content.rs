//! What of a page is its text: not navigation, banners, comments, or what is hidden.
//!
//! What is left out wrongly is lost, and what is left in wrongly is only passed over; so an element is left out where its name or role
//! says what it
//! is, or where its class says so and its links, buttons or few words bear that out, and never with most of the words of the page.

use super::tree::{Id, ROOT, Tree};
use crate::markdown::one_line;

/// Elements that have no text of a document.
const NO_TEXT: [&str; 31] = [
    "script", "style", "template", "head", "title", "meta", "link", "noscript", "iframe", "frameset", "frame", "object", "embed", "audio",
    "video", "canvas", "map", "area", "select", "option", "datalist", "input", "button", "textarea", "dialog", "noembed", "noframes",
    "param", "source", "track", "rp",
];

/// Roles of what is no text of a document.
const BOILERPLATE_ROLES: [&str; 9] =
    ["navigation", "menu", "menubar", "search", "banner", "contentinfo", "alertdialog", "dialog", "toolbar"];

/// Words of classes, and ids, that only boilerplate has.
const BOILERPLATE: [&str; 26] = [
    "adsbygoogle",
    "addthis",
    "addtoany",
    "breadcrumb",
    "breadcrumbs",
    "commentlist",
    "cookiebanner",
    "cookieconsent",
    "cookienotice",
    "cybotcookiebotdialog",
    "disqus",
    "editsection",
    "headerlink",
    "navbar",
    "onetrust",
    "permalink",
    "relatedposts",
    "sharebar",
    "sharebuttons",
    "sharedaddy",
    "skipnav",
    "skiplink",
    "skiplinks",
    "socialshare",
    "usercentrics",
    "anchorjs",
];

/// Whole classes and ids that only boilerplate has.
const BOILERPLATE_NAMES: [&str; 30] = [
    "anchor-link",
    "comment-respond",
    "comments",
    "comments-area",
    "cookie-banner",
    "cookie-bar",
    "cookie-consent",
    "cookie-notice",
    "cookie-popup",
    "disqus_thread",
    "gdpr-banner",
    "main-navigation",
    "nav-links",
    "newsletter-signup",
    "post-navigation",
    "related-articles",
    "related-posts",
    "respond",
    "screen-reader-text",
    "share-bar",
    "share-buttons",
    "share-links",
    "site-footer",
    "site-header",
    "site-navigation",
    "skip-link",
    "social-links",
    "social-share",
    "sr-only",
    "visually-hidden",
];

/// Words of classes and ids that boilerplate has, and others too: its links or buttons have to bear it out.
const PERHAPS: [&str; 35] = [
    "ad",
    "ads",
    "advert",
    "advertisement",
    "banner",
    "consent",
    "cookie",
    "cookies",
    "footer",
    "gdpr",
    "header",
    "login",
    "menu",
    "modal",
    "nav",
    "navigation",
    "newsletter",
    "noprint",
    "pager",
    "pagination",
    "popup",
    "promo",
    "recommended",
    "related",
    "share",
    "sharing",
    "sidebar",
    "signup",
    "social",
    "sponsored",
    "subscribe",
    "tags",
    "toc",
    "toolbar",
    "widget",
];

/// Words of classes of an `aside` that belongs to the text.
const REMARKS: [&str; 20] = [
    "admonition",
    "alert",
    "attention",
    "box",
    "callout",
    "caution",
    "danger",
    "definition",
    "example",
    "footnote",
    "footnotes",
    "hint",
    "important",
    "info",
    "margin",
    "note",
    "notice",
    "tip",
    "warning",
    "warn",
];

/// Words of classes of what opens when it is clicked, and is hidden until then.
const PANELS: [&str; 12] =
    ["accordion", "collapse", "collapsed", "collapsible", "content", "details", "expand", "panel", "panels", "pane", "tab", "tabs"];

// What is within an element.
const MAIN: u8 = 1;
const H1: u8 = 2;
const CONTROL: u8 = 4;
const HEADING: u8 = 8;

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    In,
    /// It is no text, hidden, or boilerplate.
    Out,
    /// It is a list of links.
    Links,
}

/// What of a page is its text.
pub(super) struct Content<'t> {
    tree: &'t Tree,
    /// By node.
    left: Vec<Left>,
    /// Characters of an element that are no white space.
    characters: Vec<u32>,
    /// Those of them that are in links.
    linked: Vec<u32>,
    /// Those of them that are in headings, and in no link.
    headed: Vec<u32>,
    /// What is within it.
    holds: Vec<u8>,
    /// The words of the headings, sorted.
    headings: Vec<String>,
    /// Where the text begins.
    pub root: Id,
}

impl<'t> Content<'t> {
    /// The text of a page of the web.
    pub fn of_page(tree: &'t Tree) -> Self {
        let mut content = Self::measured(tree);
        let all = content.characters[content.root as usize];
        content.leave_out_hidden();
        let visible = content.left.clone();
        content.leave_out_boilerplate();
        content.leave_out_empty_sections();
        let left = content.count(content.root);
        if left < 25 || left < all / 50 {
            // The page is a list of links, or as strange.
            content.left = visible;
            return content;
        }
        content.begin_at_main(left);
        content
    }

    /// The text of a chapter of a book: it has no boilerplate.
    pub fn of_chapter(tree: &'t Tree) -> Self {
        let mut content = Self::measured(tree);
        content.leave_out_hidden();
        for id in tree.descendants(content.root) {
            if tree.name(id) == "nav" {
                content.left[id as usize] = Left::Out;
            }
        }
        content
    }

    /// Whether a node and what is in it is left out.
    pub fn is_out(&self, id: Id) -> bool {
        self.left[id as usize] != Left::In
    }

    /// Nodes that are not left out, from the root of the text on, each before what is in it.
    pub fn nodes(&self) -> impl Iterator<Item = Id> + '_ {
        self.nodes_of(self.root)
    }

    fn nodes_of(&self, root: Id) -> impl Iterator<Item = Id> + '_ {
        let below = move |id: Id| self.tree.children(id).next().filter(|_| !self.is_out(id));
        let all = std::iter::successors(Some(root), move |id| below(*id).or_else(|| self.tree.after(*id, root)));
        all.filter(|id| !self.is_out(*id))
    }

    /// Characters that are not left out.
    fn count(&self, root: Id) -> u32 {
        self.nodes_of(root).filter_map(|id| self.tree.text(id)).map(characters).sum()
    }

    fn measured(tree: &'t Tree) -> Self {
        let count = tree.len();
        let root = tree.find(ROOT, "body").unwrap_or(ROOT);
        let mut content = Self {
            tree,
            left: vec![Left::In; count],
            characters: vec![0; count],
            linked: vec![0; count],
            headed: vec![0; count],
            holds: vec![0; count],
            headings: Vec::new(),
            root,
        };
        let order: Vec<Id> = tree.descendants(root).collect();
        let (mut in_link, mut in_heading) = (vec![false; count], vec![false; count]);
        for id in &order {
            let at = *id as usize;
            let parent = tree.parent(*id).unwrap_or(root) as usize;
            let name = tree.name(*id);
            in_link[at] = in_link[parent] || name == "a" && tree.attribute(*id, "href").is_some();
            in_heading[at] = in_heading[parent] || matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6");
            content.left[at] = content.left[parent];
            if in_heading[at] && !in_heading[parent] {
                content.headings.push(one_line(&tree.words(*id)));
            }
            if NO_TEXT.contains(&name) {
                content.left[at] = Left::Out;
                content.holds[at] = if matches!(name, "button" | "input" | "select") { CONTROL } else { 0 };
            }
            if content.left[at] == Left::In {
                content.characters[at] = tree.text(*id).map(characters).unwrap_or_default();
                content.linked[at] = if in_link[at] { content.characters[at] } else { 0 };
                content.headed[at] = if in_heading[at] && !in_link[at] { content.characters[at] } else { 0 };
                content.holds[at] |= match name {
                    "main" | "article" => MAIN,
                    "h1" => H1 | HEADING,
                    "h2" | "h3" | "h4" | "h5" | "h6" => HEADING,
                    _ if tree.attribute(*id, "role") == Some("main") => MAIN,
                    _ => 0,
                };
            }
        }
        // Each comes after what it is in; so the other way round, each is complete when it is added.
        for id in order.into_iter().rev() {
            let (at, parent) = (id as usize, tree.parent(id).unwrap_or(root) as usize);
            content.characters[parent] = content.characters[parent].saturating_add(content.characters[at]);
            content.linked[parent] = content.linked[parent].saturating_add(content.linked[at]);
            content.headed[parent] = content.headed[parent].saturating_add(content.headed[at]);
            content.holds[parent] |= content.holds[at];
        }
        content.headings.sort_unstable();
        content
    }

    /// Leaves out what is hidden, unless it opens by a click, or is most of the page: a dialogue before it hides the page.
    fn leave_out_hidden(&mut self) {
        let all = self.characters[self.root as usize];
        let order: Vec<Id> = self.nodes().collect();
        for id in order {
            let is_most = self.characters[id as usize] > all / 10 * 3;
            if id != self.root && !is_most && self.is_hidden(id) {
                self.left[id as usize] = Left::Out;
            }
        }
    }

    fn is_hidden(&self, id: Id) -> bool {
        let attribute = |name| self.tree.attribute(id, name);
        let style = attribute("style").unwrap_or_default();
        let unseen = attribute("hidden").is_some_and(|value| !value.eq_ignore_ascii_case("until-found"))
            || property(style, "display") == Some("none")
            || property(style, "visibility") == Some("hidden");
        let opens = || attribute("role") == Some("tabpanel") || tokens(attribute("class")).any(|token| PANELS.contains(&&*token));
        attribute("aria-hidden") == Some("true") || unseen && !opens()
    }

    fn leave_out_boilerplate(&mut self) {
        let order: Vec<Id> = self.nodes().collect();
        let all = self.characters[self.root as usize];
        let mut out = vec![false; self.tree.len()];
        let mut in_main = vec![false; self.tree.len()];
        for id in order {
            let at = id as usize;
            let parent = self.tree.parent(id).unwrap_or(ROOT) as usize;
            let name = self.tree.name(id);
            in_main[at] = in_main[parent] || matches!(name, "main" | "article") || self.tree.attribute(id, "role") == Some("main");
            out[at] = out[parent];
            if out[at] || name.is_empty() || id == self.root || matches!(name, "main" | "article") {
                continue;
            }
            let is_most = self.characters[at] > all / 5 * 2;
            let left = if self.holds[at] & MAIN != 0 || is_most && !self.is_linked(id, 50) {
                Left::In
            } else {
                self.judged(id, name, in_main[at])
            };
            self.left[at] = left;
            out[at] = left != Left::In;
        }
    }

    /// Whether an element, without most of the page, is boilerplate.
    fn judged(&self, id: Id, name: &str, in_main: bool) -> Left {
        let role = self.tree.attribute(id, "role").unwrap_or_default();
        let class = || self.tree.attribute(id, "class");
        let has_h1 = self.holds[id as usize] & H1 != 0;
        let is_remark = || role == "note" || role.starts_with("doc-") || tokens(class()).any(|token| REMARKS.contains(&&*token));
        let out = match name {
            "nav" => true,
            "header" => !in_main && !has_h1,
            "footer" => !in_main || self.is_linked(id, 50),
            "aside" => !(in_main && is_remark()),
            _ if BOILERPLATE_ROLES.contains(&role) => !has_h1,
            _ if role == "complementary" => !in_main,
            _ => !has_h1 && self.is_boilerplate_by_class(id),
        };
        if out {
            return Left::Out;
        }
        if matches!(name, "ul" | "ol") && self.is_linked(id, 85) {
            let links: Vec<Id> = self.tree.descendants(id).filter(|id| self.tree.name(*id) == "a").collect();
            let is_nested = self.tree.parent(id).is_some_and(|parent| self.tree.name(parent) == "li");
            if links.len() >= 3 && !is_nested && (self.is_contents(&links) || !in_main && self.is_in_links(id)) {
                return Left::Links;
            }
        }
        Left::In
    }

    fn is_boilerplate_by_class(&self, id: Id) -> bool {
        let names = || ["class", "id"].into_iter().filter_map(|name| self.tree.attribute(id, name));
        if names().flat_map(str::split_whitespace).any(|name| BOILERPLATE_NAMES.contains(&&*name.to_lowercase())) {
            return true;
        }
        let mut perhaps = false;
        for token in names().flat_map(|names| tokens(Some(names))) {
            if BOILERPLATE.contains(&&*token) {
                return true;
            }
            perhaps |= PERHAPS.contains(&&*token);
        }
        // A link to a heading from within it is often called `header`.
        let perhaps =
            perhaps && matches!(self.tree.name(id), "div" | "section" | "ul" | "ol" | "p" | "table" | "td" | "form" | "dl" | "header");
        // An id of a heading is made of its words: `sharing-your-data`.
        let (characters, holds) = (self.characters[id as usize], self.holds[id as usize]);
        perhaps && (self.is_linked(id, 40) || holds & CONTROL != 0 && holds & HEADING == 0 && characters < 800)
    }

    /// Whether links are a table of contents: most of their words are those of headings.
    fn is_contents(&self, links: &[Id]) -> bool {
        let is_heading = |id: &&Id| {
            let words = one_line(&self.tree.words(**id));
            let at = self.headings.partition_point(|heading| **heading < *words);
            !words.is_empty() && self.headings.get(at).is_some_and(|heading| heading.starts_with(&words))
        };
        links.iter().filter(is_heading).count() * 3 >= links.len() * 2
    }

    /// Whether a list of links is in a part of the page that has little but links, and no part of a text.
    fn is_in_links(&self, id: Id) -> bool {
        let parent = self.tree.parent(id).unwrap_or(ROOT) as usize;
        let others = self.characters[parent] - self.linked[parent].saturating_add(self.headed[parent]).min(self.characters[parent]);
        others <= self.linked[parent] && self.characters[parent] <= self.characters[self.root as usize] / 5 * 2
    }

    /// Whether so many percent of an element's words are links.
    fn is_linked(&self, id: Id, percent: u64) -> bool {
        let (characters, linked) = (self.characters[id as usize], self.linked[id as usize]);
        u64::from(linked) * 100 > u64::from(characters) * percent
    }

    /// Leaves out sections of which only the heading is left, because they are lists of links.
    fn leave_out_empty_sections(&mut self) {
        let order: Vec<Id> = self.nodes().collect();
        for id in order {
            if matches!(self.tree.name(id), "div" | "section")
                && self.characters[id as usize] < 2000
                && self.holds[id as usize] & (H1 | MAIN) == 0
            {
                let has_links = self.tree.descendants(id).any(|id| self.left[id as usize] == Left::Links);
                let is_heading = |text: Id| {
                    let mut up = std::iter::successors(Some(text), |at| self.tree.parent(*at)).take_while(|at| *at != id);
                    up.any(|at| matches!(self.tree.name(at), "h2" | "h3" | "h4" | "h5" | "h6"))
                };
                if has_links && self.nodes_of(id).filter(|id| self.tree.text(*id).is_some_and(|text| characters(text) > 0)).all(is_heading)
                {
                    self.left[id as usize] = Left::Out;
                }
            }
        }
    }

    /// Begins at the main element, if there is one, and it has most of the words.
    fn begin_at_main(&mut self, left: u32) {
        let is_main = |id: &Id| self.tree.name(*id) == "main" || self.tree.attribute(*id, "role") == Some("main");
        let mains: Vec<Id> = self.nodes().filter(is_main).take(2).collect();
        if let [main] = mains[..]
            && self.count(main) > left / 5 * 2
            && (self.holds[main as usize] & H1 != 0 || self.holds[self.root as usize] & H1 == 0)
        {
            self.root = main;
        }
    }
}

fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().filter(|c| !c.is_whitespace()).count()).unwrap_or(u32::MAX)
}

/// The value of a property of a style, in lower case only.
pub(super) fn property<'s>(style: &'s str, name: &str) -> Option<&'s str> {
    style.split(';').filter_map(|part| part.split_once(':')).find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

/// The words of a class: `cookie-banner`, `cookieBanner` and `cookie_banner` are `cookie` and `banner`.
fn tokens(names: Option<&str>) -> impl Iterator<Item = String> + '_ {
    names.unwrap_or_default().split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).flat_map(|part| {
        let mut words: Vec<String> = vec![String::new()];
        let mut before_is_lower = false;
        for c in part.chars() {
            if c.is_uppercase() && before_is_lower {
                words.push(String::new());
            }
            before_is_lower = c.is_lowercase();
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        words
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &str) -> String {
        let tree = Tree::parse(page, false).unwrap();
        let content = Content::of_page(&tree);
        let words: Vec<&str> = content.nodes().filter_map(|id| tree.text(id)).map(str::trim).filter(|text| !text.is_empty()).collect();
        words.join("|")
    }

    #[test]
    fn boilerplate_is_left_out() {
        let body = "<p>The dose is 5 mg, twice a day, for seven days.</p>";
        for out in [
            "<nav>x</nav>",
            "<header>x</header>",
            "<footer>x</footer>",
            "<div role=navigation>x</div>",
            "<div class='cookie-banner'>x</div>",
            "<div class=cookieBox>x<button>OK</button></div>",
            "<ul class=share><li><a href=a>x</a></ul>",
            "<div><ul><li><a href=a>x</a><li><a href=b>x</a><li><a href=c>x</a></ul></div>",
            "<ul><li><a href=#a>The dose</a><li><a href=#a>The dose</a><li><a href=#a>The dose</a></ul><h2 hidden>The dose is</h2>",
            "<div><h2>Related</h2><ul><li><a href=a>x</a><li><a href=b>x</a><li><a href=c>x</a></ul></div>",
            "<div hidden>x</div>",
            "<div style='display: none'>x</div>",
            "<section id=comments>x</section>",
            "<aside>x</aside>",
            "<script>x</script><style>x</style><template>x</template><noscript>x</noscript>",
        ] {
            assert_eq!(text(&format!("{out}{body}{out}")), "The dose is 5 mg, twice a day, for seven days.", "{out}");
        }
    }

    #[test]
    fn text_is_kept() {
        let body = "<p>The dose is 5 mg, twice a day, for seven days.</p>".repeat(3);
        for kept in [
            "<section id=consent><h2>x</h2></section>",
            "<div class=banner>x</div>",
            "<div class=accordion-content hidden>x</div>",
            "<details><summary>x</summary></details>",
            "<main><header>x</header></main>",
            "<main><aside class=warning>x</aside></main>",
            "<main><ul><li><a href=a>x</a></ul></main>",
            "<div id=sharing-of-data>x</div>",
            "<header><h1>x</h1></header>",
            "<h2><a class=header href=#x>x</a></h2>",
            "<ul><li><a href=a>x</a><li><a href=b>y</a><li><a href=c>z</a></ul>",
        ] {
            assert!(text(&format!("{kept}{body}")).starts_with("x|"), "{kept}");
        }
        // Most of the page, whatever it is called.
        let law = "Cookies are stored only with consent.".repeat(9);
        assert_eq!(text(&format!("<div class=cookie-banner>{law}</div><p>x")), format!("{law}|x"));
        let links = "<ul><li><a href=a>Act 1</a><li><a href=b>Act 2</a><li><a href=c>Act 3</a></ul>";
        assert_eq!(text(links), "Act 1|Act 2|Act 3");
    }
}
