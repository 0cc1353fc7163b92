//! Journals, plain and compressed.

use std::fs;
use std::sync::LazyLock;

use smh_gateway::journal::{Finding, Head, Line, Reader, Verifier};

use crate::files::FOLDER;

const WHOLE: &[u8] = include_bytes!("../corpus/journal/whole");

/// That of the last record of the whole journal.
static HEAD: LazyLock<Head> = LazyLock::new(|| {
    let (found, head) = verify(WHOLE, None);
    assert_eq!(found, []);
    head.unwrap_or_else(|| panic!("the corpus has no journal"))
});

/// What is found whole, by the head, is the journal: at most its first records are missing. And without a head, its end.
pub(crate) fn run(bytes: &[u8]) {
    let head = *HEAD;
    let (found, _) = verify(bytes, Some(head));
    let is_plain = !bytes.starts_with(&[0x1f, 0x8b]);
    if found.is_empty() && is_plain {
        assert!(WHOLE.ends_with(bytes), "other bytes are found whole");
    }
    let (found, last) = verify(bytes, None);
    if found.is_empty() && is_plain && last.is_some_and(|last| last.journal == head.journal) {
        let is_part = WHOLE.windows(bytes.len()).any(|part| part == bytes);
        assert!(is_part, "other bytes are found to be a part");
    }
}

fn verify(bytes: &[u8], head: Option<Head>) -> (Vec<Finding>, Option<Head>) {
    let path = FOLDER.join("journal");
    fs::write(&path, bytes).unwrap_or_else(|error| panic!("{error}"));
    let (mut verifier, mut found) = (Verifier::new(head), Vec::new());
    // A compressed file may end in the middle, which is an error, and as good as a finding.
    let read = Reader::open(&path).and_then(|mut reader| {
        while let Some(line) = reader.read()? {
            let is_torn = matches!(line, Line::Torn(_));
            verifier.line(line, &mut found);
            if is_torn {
                break;
            }
        }
        Ok(())
    });
    let chains = verifier.end(&mut found);
    if read.is_err() {
        found.push(Finding::Foreign);
    }
    (found, chains.into_values().next().map(|chain| chain.head))
}
