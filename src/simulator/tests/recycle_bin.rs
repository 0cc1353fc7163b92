//! The recycle bin.

use super::*;
use crate::simulator::Effect;

/// Two items in the bin: 1 is `hello.txt`, 2 is `dir/a b.txt`.
fn with_two_items() -> Simulator {
    let simulator = photos();
    for path in ["hello.txt", "dir/a%20b.txt"] {
        let target = format!("/api/v1/file/smhlib/space1/{path}?access_token=admin");
        ask(&simulator, Method::DELETE, &target);
    }
    simulator.clear_received();
    simulator
}

fn bin(simulator: &Simulator, method: Method, rest: &str, body: &'static str) -> Reply {
    let separator = if rest.contains('?') { '&' } else { '?' };
    let target = format!("/api/v1/recycled/smhlib/space1{rest}{separator}access_token=space_admin");
    ask_with(simulator, method, &target, HeaderMap::new(), body)
}

fn ids(simulator: &Simulator) -> Vec<u64> {
    simulator.recycled("smhlib", "space1").iter().map(|item| item.id).collect()
}

#[test]
fn a_list_is_read_by_marker_or_by_page() {
    let simulator = with_two_items();

    let first = bin(&simulator, Method::GET, "?limit=1", "").json;
    let second = bin(&simulator, Method::GET, "?limit=1&marker=1", "").json;
    let page = bin(&simulator, Method::GET, "?page=2&page_size=1", "").json;

    assert_eq!((&first["totalNum"], &first["nextMarker"]), (&2.into(), &1.into()));
    assert_eq!(first["contents"][0]["originalPath"], serde_json::json!(["hello.txt"]));
    assert_eq!(second["contents"][0]["name"], "a b.txt");
    assert_eq!(second["nextMarker"], Value::Null);
    assert_eq!(page["contents"], second["contents"]);
}

#[test]
fn a_list_is_sorted_as_asked() {
    let simulator = with_two_items();

    let sorted = bin(&simulator, Method::GET, "?order_by=name&order_by_type=asc", "").json;

    assert_eq!(sorted["contents"][0]["recycledItemId"], 2);
    assert_eq!(bin(&simulator, Method::GET, "?order_by=colour", "").code(), "ParamInvalid");
}

#[test]
fn an_item_tells_of_itself() {
    let simulator = with_two_items();

    assert_eq!(bin(&simulator, Method::GET, "/1?info", "").json["type"], "file");
    assert_eq!(bin(&simulator, Method::GET, "/9?info=1", "").code(), "RecycledItemNotFound");
}

#[test]
fn a_restore_puts_a_file_back_and_answers_where() {
    let simulator = with_two_items();
    simulator.put_file("smhlib", "space1", "hello.txt");

    let asked = bin(&simulator, Method::POST, "/1?restore&conflict_resolution_strategy=ask", "");
    let renamed = bin(&simulator, Method::POST, "/1?restore=1", "");

    assert_eq!((asked.status, asked.code()), (409, "SameNameDirectoryOrFileExists"));
    assert_eq!(renamed.json["path"], serde_json::json!(["hello (1).txt"]));
    assert_eq!(ids(&simulator), [2]);
    let effect = Effect::Restored { path: "hello (1).txt".to_owned(), id: 1 };
    assert_eq!(simulator.received()[1].effects, [effect]);
}

#[test]
fn a_batch_restore_tells_of_each_item() {
    let simulator = with_two_items();

    let reply = bin(&simulator, Method::POST, "?restore", "[1,9]");

    assert_eq!(reply.status, 207);
    assert_eq!(reply.json["result"][0]["path"][0], "hello.txt");
    assert_eq!(reply.json["result"][1]["code"], "RecycledItemNotFound");
    assert_eq!(reply.json["result"][1]["recycledItemId"], 9);
    assert_eq!(bin(&simulator, Method::POST, "?restore", "[2]").status, 200);
}

#[test]
fn a_purge_is_for_good() {
    let simulator = with_two_items();

    assert_eq!(bin(&simulator, Method::DELETE, "/1", "").status, 204);
    assert_eq!(bin(&simulator, Method::DELETE, "/1", "").code(), "RecycledItemNotFound");
    assert_eq!(bin(&simulator, Method::POST, "?delete", "[2,9]").status, 204);
    assert!(ids(&simulator).is_empty());
    assert_eq!(simulator.received()[2].effects, [Effect::Purged { id: 2 }]);
}

#[test]
fn emptying_takes_all() {
    let simulator = with_two_items();

    assert_eq!(bin(&simulator, Method::DELETE, "", "").status, 204);
    assert_eq!(simulator.received()[0].effects, [Effect::BinEmptied { items: 2 }]);
}

#[test]
fn a_token_without_the_grant_changes_nothing_in_the_bin() {
    let simulator = with_two_items();
    for (method, rest) in
        [(Method::DELETE, ""), (Method::DELETE, "/1"), (Method::POST, "/1?restore")]
    {
        let separator = if rest.contains('?') { '&' } else { '?' };
        let target =
            format!("/api/v1/recycled/smhlib/space1{rest}{separator}access_token=delete_file");
        assert_eq!(ask(&simulator, method, &target).code(), "NoPermission", "{rest}");
    }
    assert_eq!(ids(&simulator), [1, 2]);
}

#[test]
fn a_space_may_have_its_own_retention() {
    let simulator = with_two_items();
    let set = |body| bin(&simulator, Method::POST, "?lifecycle", body);

    assert_eq!(set(r#"{"retentionDays":0}"#).code(), "ParamInvalid");
    assert_eq!(set(r#"{"retentionDays":30}"#).status, 204);
    assert_eq!(set(r#"{"retentionDays":30}"#).code(), "SetRecycleLifecycleFrequencyLimit");
}

#[test]
fn every_call_on_a_bin_that_is_off_is_refused() {
    let simulator = with_two_items();
    simulator.set_recycle_bin("smhlib", RecycleBin::Off);
    for (method, rest) in [
        (Method::GET, "?limit=1"),
        (Method::GET, "/1?info"),
        (Method::POST, "/1?restore"),
        (Method::POST, "?restore"),
        (Method::POST, "?delete"),
        (Method::POST, "?lifecycle"),
        (Method::DELETE, "/1"),
        (Method::DELETE, ""),
    ] {
        let reply = bin(&simulator, method, rest, "[1]");
        assert_eq!((reply.status, reply.code()), (400, "RecycleBinNotEnabled"), "{rest}");
    }
    assert_eq!(ids(&simulator), [1, 2]);
}
