//! Single and batch deletes: who may, what happens, and what a careless client can do.

use super::*;
use crate::simulator::{
    BadPermanent, BatchThreshold, Behaviour, ContentCas, DotSegments, Effect, SoftDeleteGrants,
};

fn delete(simulator: &Simulator, path: &str, query: &str) -> Reply {
    ask(simulator, Method::DELETE, &format!("/api/v1/file/smhlib/space1/{path}?{query}"))
}

#[test]
fn a_soft_delete_moves_the_file_to_the_recycle_bin() {
    let simulator = photos();

    let reply = delete(&simulator, "dir/a%20b.txt", "permanent=0&access_token=delete_file");

    assert_eq!(reply.status, 200);
    assert_eq!(simulator.files("smhlib", "space1"), ["hello.txt"]);
    let recycled = simulator.recycled("smhlib", "space1");
    let id = reply.json["recycledItemId"].as_u64().unwrap();
    assert_eq!(recycled.len(), 1);
    assert_eq!((recycled[0].id, recycled[0].original_path.as_str()), (id, "dir/a b.txt"));
    let effect = Effect::Recycled { path: "dir/a b.txt".to_owned(), id };
    assert_eq!(simulator.received()[0].effects, [effect]);
}

#[test]
fn the_table_of_grants_holds() {
    let off = RecycleBin::Off;
    let on = RecycleBin::KEEPING;
    for (bin, permanent, grant, status) in [
        (off, 0, "delete_file", 204),
        (off, 1, "delete_file", 204),
        (off, 1, "delete_file_permanent", 403),
        (off, 0, "space_admin", 204),
        (on, 0, "delete_file", 200),
        (on, 0, "delete_file_permanent", 403),
        (on, 0, "delete_recycled", 403),
        (on, 0, "admin", 200),
        (on, 1, "delete_file", 403),
        (on, 1, "delete_file_permanent", 204),
        (on, 1, "space_admin", 204),
        (on, 1, "admin", 204),
    ] {
        let simulator = photos();
        simulator.set_recycle_bin("smhlib", bin);
        let query = format!("permanent={permanent}&access_token={grant}");

        let reply = delete(&simulator, "hello.txt", &query);

        let case = format!("{bin:?} permanent={permanent} {grant}");
        assert_eq!(reply.status, status, "{case}");
        let is_there = simulator.files("smhlib", "space1").contains(&"hello.txt".to_owned());
        assert_eq!(is_there, status == 403, "{case}");
        let is_recycled = !simulator.recycled("smhlib", "space1").is_empty();
        assert_eq!(is_recycled, status == 200, "{case}");
    }
}

#[test]
fn a_second_delete_finds_nothing() {
    let simulator = photos();

    assert_eq!(delete(&simulator, "hello.txt", "access_token=delete_file").status, 200);
    assert_eq!(delete(&simulator, "hello.txt", "access_token=delete_file").code(), "FileNotFound");
}

#[test]
fn a_flag_turns_the_delete_into_an_aborted_upload_and_the_file_stays() {
    for flag in ["upload", "upload=1"] {
        let simulator = photos();

        let reply = delete(&simulator, "hello.txt", &format!("{flag}&access_token=admin"));

        assert_eq!((reply.status, reply.code()), (404, "UploadNotFound"));
        assert!(simulator.files("smhlib", "space1").contains(&"hello.txt".to_owned()));
    }
}

#[test]
fn dot_segments_lead_out_of_the_space_into_the_recycle_bin() {
    for dots in ["..", "%2e%2E"] {
        let simulator = photos();
        delete(&simulator, "hello.txt", "access_token=admin");
        let path = format!("{dots}/{dots}/{dots}/recycled/smhlib/space1");

        let reply = delete(&simulator, &path, "access_token=admin");

        assert_eq!(reply.status, 204);
        assert!(simulator.recycled("smhlib", "space1").is_empty());
        assert_eq!(simulator.received()[1].effects, [Effect::BinEmptied { items: 1 }]);
    }
}

#[test]
fn dot_segments_may_be_switched_off() {
    let simulator = photos();
    let dot_segments = DotSegments::Literal;
    simulator.set_behaviour(Behaviour { dot_segments, ..Behaviour::default() });
    delete(&simulator, "hello.txt", "access_token=admin");

    let path = "../../../recycled/smhlib/space1";
    assert_eq!(delete(&simulator, path, "access_token=admin").code(), "FileNotFound");
    assert_eq!(simulator.recycled("smhlib", "space1").len(), 1);
}

#[test]
fn a_bad_permanent_is_refused_or_taken_for_zero() {
    for value in ["2", "true", ""] {
        let simulator = photos();
        let query = format!("permanent={value}&access_token=delete_file");
        assert_eq!(delete(&simulator, "hello.txt", &query).code(), "ParamInvalid");
        let bad_permanent = BadPermanent::TreatAsZero;
        simulator.set_behaviour(Behaviour { bad_permanent, ..Behaviour::default() });
        assert_eq!(delete(&simulator, "hello.txt", &query).status, 200);
    }
}

#[test]
fn content_cas_is_ignored_or_never_matches() {
    let simulator = photos();
    let query = "content_cas=1&access_token=delete_file";
    simulator
        .set_behaviour(Behaviour { content_cas: ContentCas::Conflict, ..Behaviour::default() });
    assert_eq!(delete(&simulator, "hello.txt", query).code(), "ContentCasConflict");
    simulator.set_behaviour(Behaviour::default());
    assert_eq!(delete(&simulator, "hello.txt", query).status, 200);
}

#[test]
fn the_permanent_grant_may_be_made_to_allow_soft_deletes() {
    let simulator = photos();
    simulator.set_behaviour(Behaviour {
        soft_delete_grants: SoftDeleteGrants::PlainOrPermanent,
        ..Behaviour::default()
    });

    let reply = delete(&simulator, "hello.txt", "access_token=delete_file_permanent");

    assert_eq!(reply.status, 200);
}

#[test]
fn the_user_of_a_delete_is_the_tokens_own_or_an_admins_choice() {
    let simulator = photos();
    let own = TokenSpec::new("smhlib").with_grant("delete_file").with_user_id("ann");
    simulator.issue_token(own.with_value("anns"));

    delete(&simulator, "hello.txt", "user_id=bob&access_token=anns");
    delete(&simulator, "dir/a%20b.txt", "user_id=bob&access_token=admin");
    simulator.put_file("smhlib", "space1", "c");
    delete(&simulator, "c", "user_id=bob&access_token=delete_file");

    let recycled = simulator.recycled("smhlib", "space1").into_iter();
    let users: Vec<Option<String>> = recycled.map(|item| item.removed_by).collect();
    assert_eq!(users, [Some("ann".to_owned()), Some("bob".to_owned()), None]);
}

#[test]
fn a_directory_goes_with_all_that_is_in_it_and_the_root_never() {
    let simulator = photos();
    let delete_directory = |path: &str| {
        let target = format!("/api/v1/directory/smhlib/space1/{path}?access_token=space_admin");
        ask(&simulator, Method::DELETE, &target)
    };

    assert_eq!(delete(&simulator, "dir", "access_token=admin").code(), "FileNotFound");
    assert_eq!(delete_directory("").code(), "RootDirectoryNotAllowed");
    assert_eq!(delete_directory("dir").status, 200);
    assert_eq!(delete_directory("dir").code(), "DirectoryNotFound");
    assert_eq!(simulator.files("smhlib", "space1"), ["hello.txt"]);
}

#[test]
fn head_tells_whether_a_file_is_there() {
    let simulator = photos();
    let head = |path: &str| {
        let target = format!("/api/v1/file/smhlib/space1/{path}?access_token=delete_file");
        ask(&simulator, Method::HEAD, &target).status
    };

    assert_eq!((head("hello.txt"), head("nothing.txt")), (200, 404));
}

const BATCH: &str = "/api/v1/batch/smhlib/space1?delete&access_token=space_admin";

#[test]
fn a_batch_tells_of_each_item() {
    let simulator = photos();
    let body = r#"[{"path":"hello.txt","permanent":true},{"path":"dir"},{"path":"nothing"}]"#;

    let reply = ask_with(&simulator, Method::POST, BATCH, HeaderMap::new(), body);

    let expected = r#"{"result":[{"status":204,"path":["hello.txt"]},{"status":200,"recycledItemId":1,"path":["dir"]},{"status":404,"code":"FileNotFound","message":"File not found.","path":["nothing"]}]}"#;
    assert_eq!(reply.status, 207);
    assert_eq!(reply.json, serde_json::from_str::<Value>(expected).unwrap());
    assert!(simulator.files("smhlib", "space1").is_empty());
    assert_eq!(simulator.received()[0].effects.len(), 2);
}

#[test]
fn a_batch_above_the_threshold_becomes_a_task() {
    let simulator = photos();
    let batch_threshold = BatchThreshold(1);
    simulator.set_behaviour(Behaviour { batch_threshold, ..Behaviour::default() });
    let body = r#"[{"path":"hello.txt"},{"path":"dir"}]"#;

    let accepted = ask_with(&simulator, Method::POST, BATCH, HeaderMap::new(), body);
    let id = accepted.json["taskId"].as_u64().unwrap();
    let query = |space: &str, id: u64| {
        let target = format!("/api/v1/task/smhlib{space}/{id}?access_token=space_admin");
        ask(&simulator, Method::GET, &target)
    };

    assert_eq!(accepted.status, 202);
    assert_eq!(query("/space1", id).json[0]["status"], 200);
    assert_eq!(query("", id).json[0]["result"][1]["path"][0], "dir");
    assert_eq!(query("/space1", id + 1).code(), "TaskNotFound");
}

#[test]
fn a_batch_of_nothing_or_of_too_much_is_refused() {
    let simulator = photos();
    let too_much: &'static str = Box::leak(format!("[{}1]", "1,".repeat(1000)).into_boxed_str());
    let restore = "/api/v1/recycled/smhlib/space1?restore&access_token=space_admin";
    let code = |target: &str, body| {
        ask_with(&simulator, Method::POST, target, HeaderMap::new(), body).code().to_owned()
    };

    assert_eq!(code(BATCH, "[]"), "NoItemsProvided");
    assert_eq!(code(BATCH, "{"), "ParamInvalid");
    assert_eq!(code(restore, too_much), "TooManyItems");
}

#[test]
fn spaces_are_made_listed_and_deleted() {
    let simulator = photos();
    let ask = |method: Method, target: &str| {
        let target = format!("/api/v1/space/smhlib{target}library_secret=the-secret");
        ask(&simulator, method, &target)
    };

    let made = ask(Method::POST, "?");
    let name = made.json["spaceId"].as_str().unwrap().to_owned();
    assert_eq!(made.status, 201);
    assert_eq!(ask(Method::GET, "/list?limit=2&").json["list"].as_array().unwrap().len(), 2);
    assert_eq!(ask(Method::DELETE, &format!("/{name}?")).status, 204);
    assert_eq!(ask(Method::DELETE, "/space1?").code(), "SpaceNotEmpty");
    assert_eq!(ask(Method::DELETE, "/space1?force=1&").status, 204);
    assert!(simulator.files("smhlib", "space1").is_empty());
}
