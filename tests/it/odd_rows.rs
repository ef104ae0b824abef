//! Answers of databases that are odd, each asked of all three: what nobody can read is unknown, nothing is changed by
//! asking, and letters of another age are letters.

use crate::{
    databases::{DatabaseServer, Kind, USER},
    harness::{Bench, Setup, group, person},
};
use perimeterd::simulator::Via;
use serde_json::Value;

const FIRST: u64 = 4915100000700;

fn setup(url: &str, query: &str) -> Setup {
    Setup {
        chain: r#"["subscribers"]"#,
        config_extra: format!(
            "[subscriptions]\nsource = \"sql\"\nurl = \"{url}\"\nquery = \"{query}\"\ntimeout = \"2s\"\nnegative_ttl = \"1s\"\n"
        ),
        ..Setup::default()
    }
}

async fn known(bench: &Bench, number: u64) -> Value {
    bench.api(&format!("subscriptions/+{number}")).await["subscription"].take()
}

/// Status, or why there is none; once the source is asked again after a failure.
async fn said(bench: &Bench, number: u64) -> String {
    let mut said = String::new();
    bench
        .until("it is asked", async || {
            let answer = known(bench, number).await;
            let status = answer["known"]["value"]["status"].as_str().or(answer["unknown"]["why"].as_str());
            said = status.unwrap_or_default().to_owned();
            !said.contains("failed a moment ago")
        })
        .await;
    said
}

const QUERY: &str = "SELECT status, plan, expires_at FROM members WHERE digits = :digits";

/// Whose rows they are, what they say, and what that comes to.
fn cases() -> Vec<(&'static str, Vec<&'static str>, &'static str)> {
    vec![
        ("no row", vec![], "none"),
        (
            "an unpaid one that would last longer",
            vec!["'none', '2099-01-01'", "'active', '2098-01-01'"],
            "active",
        ),
        ("the same the other way round", vec!["'active', '2098-01-01'", "'none', '2099-01-01'"], "active"),
        ("an old one without an end", vec!["'canceled', NULL", "'active', '2098-01-01'"], "active"),
        (
            "a foreign word and one that is over",
            vec!["'platinum', NULL", "'canceled', '2020-01-01'"],
            "status_map",
        ),
        ("no status", vec!["NULL, NULL"], "empty"),
        ("one of two without a status", vec!["'canceled', '2020-01-01'", "NULL, NULL"], "empty"),
        ("no time", vec!["'active', 'soon'"], "neither"),
        ("the whole table", vec!["'active', NULL"; 101], "more than 100 rows"),
    ]
}

fn tables() -> String {
    let mut sql = "CREATE TABLE members (digits VARCHAR(20), status VARCHAR(20), expires_at VARCHAR(20), plan VARCHAR(20));\n".to_owned();
    for (number, (_, rows, _)) in (FIRST..).zip(cases()) {
        let rows: Vec<String> = rows.iter().map(|row| format!("('{number}', {row}, 'gold')")).collect();
        if !rows.is_empty() {
            sql += &format!("INSERT INTO members VALUES {};\n", rows.join(", "));
        }
    }
    sql
}

async fn each_is_judged(bench: &Bench, what: &str) {
    let mut unpaid = Vec::new();
    for (number, (case, _, expected)) in (FIRST..).zip(cases()) {
        let said = said(bench, number).await;
        assert!(said.contains(expected), "{what}, {case}: {said}");
        bench.sim.join(&group(), &[person(number)], Via::Link).await;
        unpaid.extend((expected == "none").then_some(number));
    }
    bench.until("who does not pay is out", async || bench.removed() == unpaid).await;
    bench.settled().await;
    assert_eq!(bench.removed(), unpaid, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_rows_are_judged_alike_by_every_database() {
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(server) = DatabaseServer::start(kind).await else { continue };
        server.session().await.run(&tables()).await;
        let bench = Bench::start(setup(&server.url(), QUERY)).await;
        each_is_judged(&bench, &format!("{kind:?}")).await;
    }
    let mut bench = Bench::prepare(setup("sqlite:shop.db", QUERY)).await;
    let db = rusqlite::Connection::open(bench.path("shop.db")).unwrap();
    db.execute_batch(&tables()).unwrap();
    bench.spawn();
    bench.ready().await;
    each_is_judged(&bench, "SQLite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_columns_of_the_same_name_neither_is_believed() {
    // Which of them counts as the status: the account's, or the subscription's?
    let query = "SELECT m.status, s.status FROM members m JOIN paid s ON s.digits = m.digits WHERE m.digits = :digits";
    let tables = format!(
        "CREATE TABLE members (digits VARCHAR(20), status VARCHAR(20));\n\
         CREATE TABLE paid (digits VARCHAR(20), status VARCHAR(20));\n\
         INSERT INTO members VALUES ('{FIRST}', 'active');\nINSERT INTO paid VALUES ('{FIRST}', 'none')"
    );
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let Some(server) = DatabaseServer::start(kind).await else { continue };
        server.session().await.run(&tables).await;
        let bench = Bench::start(setup(&server.url(), query)).await;
        let told = said(&bench, FIRST).await;
        assert!(told.contains("twice"), "{kind:?}: {told}");
    }
    let mut bench = Bench::prepare(setup("sqlite:shop.db", query)).await;
    rusqlite::Connection::open(bench.path("shop.db")).unwrap().execute_batch(&tables).unwrap();
    bench.spawn();
    bench.ready().await;
    let told = said(&bench, FIRST).await;
    assert!(told.contains("twice"), "SQLite: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_changes_anything_whatever_the_account_may() {
    let one = "CREATE TABLE members (digits VARCHAR(20), status VARCHAR(20));\n\
               INSERT INTO members VALUES ('4915100000700', 'active');\n";
    let deleting =
        "WITH gone AS (DELETE FROM members WHERE digits = :digits RETURNING status) SELECT status FROM gone";
    let count = "SELECT CASE WHEN COUNT(*) = 1 THEN 'active' ELSE 'none' END AS status FROM members WHERE digits = :digits";
    for (kind, more, query, why) in [
        (Kind::Postgres, format!("GRANT ALL ON members TO {USER}"), deleting, "the query"),
        (
            Kind::MariaDb,
            format!(
                "CREATE FUNCTION harm(whom VARCHAR(20)) RETURNS VARCHAR(20) MODIFIES SQL DATA BEGIN \
                 DELETE FROM members WHERE digits = whom; RETURN 'active'; END;\nGRANT ALL ON shop.* TO {USER}@'%'"
            ),
            "SELECT harm(:digits) AS status",
            "READ ONLY",
        ),
    ] {
        let Some(server) = DatabaseServer::start(kind).await else { continue };
        server.session().await.run(&format!("{one}{more}")).await;
        let bench = Bench::start(setup(&server.url(), query)).await;
        let told = said(&bench, FIRST).await;
        assert!(told.contains(why), "{kind:?}: {told}");
        let bench = Bench::start(setup(&server.url(), count)).await;
        assert_eq!(said(&bench, FIRST).await, "active", "{kind:?}: it is still there");
    }
    let query = "WITH whom AS (SELECT :digits AS d) DELETE FROM members WHERE digits = (SELECT d FROM whom) RETURNING status";
    let mut bench = Bench::prepare(setup("sqlite:shop.db", query)).await;
    let db = rusqlite::Connection::open(bench.path("shop.db")).unwrap();
    db.execute_batch(one).unwrap();
    bench.spawn();
    bench.ready().await;
    let told = said(&bench, FIRST).await;
    assert!(told.contains("refused the query"), "{told}");
    let left: i64 = db.query_row("SELECT COUNT(*) FROM members", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_latin_1_is_read() {
    let rows = "INSERT INTO members VALUES ('4915100000700', 'active', 'f\u{f6}rdernd');\n";
    if let Some(server) = DatabaseServer::start(Kind::Postgres).await {
        let create = format!(
            "CREATE DATABASE latin OWNER {USER} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        server.session().await.run(&create).await;
        let url = server.url();
        let url = format!("{}/latin", url.rsplit_once('/').unwrap().0);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let table = "CREATE TABLE members (digits text, status text, plan text)";
        client.batch_execute(&format!("{table};\n{rows}")).await.unwrap();
        plan_is_read(&url, "Postgres").await;
    }
    if let Some(server) = DatabaseServer::start(Kind::MariaDb).await {
        let table = "CREATE TABLE members (digits VARCHAR(20), status VARCHAR(20), plan VARCHAR(20)) DEFAULT CHARSET=latin1";
        server.session().await.run(&format!("{table};\n{rows}")).await;
        plan_is_read(&server.url(), "MariaDB").await;
    }
}

async fn plan_is_read(url: &str, what: &str) {
    let bench = Bench::start(setup(url, "SELECT status, plan FROM members WHERE digits = :digits")).await;
    let told = known(&bench, FIRST).await;
    assert_eq!(told["known"]["value"]["plan"], "f\u{f6}rdernd", "{what}: {told}");
}
