//! What the documentation tells people to write is accepted as it stands there.

use std::path::Path;

use crate::support::command::tidegate;

/// Where a block of YAML stands in a page, and what it says.
struct Block {
    line: usize,
    section: String,
    yaml: String,
}

/// The blocks of YAML of a page.
fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut section = String::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => {
                block.yaml.push_str(line);
                block.yaml.push('\n');
            }
            None if line == "```yaml" => {
                open = Some(Block {
                    line: number + 1,
                    section: section.clone(),
                    yaml: String::new(),
                });
            }
            None => {
                if let Some(title) = line.strip_prefix("##") {
                    section = title.trim_start_matches('#').trim().to_owned();
                }
            }
        }
    }
    assert!(open.is_none(), "{page} has a block without an end");
    blocks
}

/// `tidegate check` on each block by itself: no errors, and no other warnings than those about
/// Secrets, which belong to the reader, and those that the page announces.
#[test]
fn every_recipe_passes_check() {
    let announced = [
        // No list to look a channel up in; what a lost answer leaves behind expires by itself.
        ("Google Calendar", "without lookup"),
        // The app's one URL stays set.
        ("HubSpot", "without unsubscribe"),
    ];
    let blocks = blocks("docs/subscriptions.md");
    assert!(blocks.len() >= 10, "{}", blocks.len());
    let folder = tempfile::tempdir().unwrap();
    for Block {
        line,
        section,
        yaml,
    } in blocks
    {
        let file = folder.path().join(format!("line-{line}.yaml"));
        std::fs::write(&file, yaml).unwrap();
        let ran = tidegate(&["check", file.to_str().unwrap(), "--output", "json"]);
        let problems = ran.json();
        let unexpected: Vec<_> = problems["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|problem| {
                let message = problem["message"].as_str().unwrap();
                let is_announced = announced.iter().any(|(provider, words)| {
                    section.starts_with(provider) && message.contains(words)
                });
                let is_readers = message.ends_with("does not exist")
                    || message.contains("spec.app has no field");
                problem["severity"] != "warning" || !(is_announced || is_readers)
            })
            .collect();
        assert!(
            ran.code == 0 && unexpected.is_empty(),
            "docs/subscriptions.md, line {line} ({section}): {unexpected:#?}"
        );
    }
}
