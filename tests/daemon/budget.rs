//! The budget of questions to DQS under a daemon that runs.

use super::control::{control, machine, metrics, status};
use super::process::new_key;
use super::{Act, Names, Phone, run};

#[test]
fn a_budget_of_questions_is_told_and_changes_no_verdict() {
    let (names, key) = (Names::start(), new_key());
    names.on("2.0.8.8.zen", Act::records(["127.0.0.4"]));
    let settings = [
        "PROBE_INTERVAL=0",
        "QUERY_BUDGET_PER_DAY=5",
        "DBL_ENABLE=0",
        "ZRD_ENABLE=0",
        "CACHE_TTL_LISTED=600",
    ];
    let machine = machine(&names, &key, &settings);
    let own = "[[list]]\nname = \"own\"\nkind = \"address\"\nzone = \"own.example\"\ntest = false\n\
               [[rule]]\nname = \"own\"\nlist = \"own\"\naction = \"reject\"\n";
    machine.write("gatepost.toml", own);
    let daemon = machine.start();
    let connect =
        |last: u8| run(async { Phone::dial(daemon.port).await.connect(&format!("8.8.0.{last}")).await });
    let spent = || status(&machine)["query_budget"]["sent"].as_u64().expect("a count");
    // The other list and the cache are not DQS'.
    let before = spent();
    for _ in 0..3 {
        assert!(connect(2).starts_with("554 "));
    }
    assert_eq!(spent(), before + 1);
    let left = 5 - spent();
    (0..left + 3).for_each(|n| assert_eq!(connect(100 + u8::try_from(n).expect("few")), "continue"));
    assert!(connect(2).starts_with("554 "));
    names.on("3.0.8.8.zen", Act::records(["127.0.0.4"]));
    assert!(connect(3).starts_with("554 "), "more than the budget, and asked as before");
    let told = status(&machine);
    assert_eq!(told["query_budget"], serde_json::json!({"sent": 9, "limit": 5}), "{told}");
    let people = machine.run(&["status", "--control", &control(&machine)]).stdout;
    assert!(people.contains("DQS today    9 of 5 questions (180 %)"), "{people}");
    let (_, page) = metrics(&machine);
    page.expect("gatepost_dqs_queries_today", 9.0);
    page.expect("gatepost_dqs_query_budget", 5.0);
    let (exit, lines) = daemon.stop();
    assert_eq!(exit, Some(0));
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("event=query_budget")).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("WARN") && told[0].contains("percent=80 sent=4 budget=5"), "{told:#?}");
    assert!(told[1].contains("percent=100 sent=5 budget=5"), "{told:#?}");
}
