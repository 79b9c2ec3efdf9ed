//! The page in a real browser. Where no Chromium was found when these tests were built, they report themselves as
//! ignored.

use super::{CASES, Drawn, drawn, page_of};
use data_encoding::BASE64;
use serde_json::Value;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Widths of the window, in pixels: a phone, a tablet, a wide screen. The phone's is below the least width of a
/// browser's window, so pages are opened in frames of these widths.
const WIDTHS: [usize; 3] = [360, 800, 1600];
const MEASURE: &str = include_str!("measure.js");
const POLICY: &str = "<meta http-equiv=\"Content-Security-Policy\"";
/// How long a browser may take; a slow machine under load needs a while.
const PATIENCE: Duration = Duration::from_secs(150);

/// Runs a browser of its own on a file, and gives what its page looks like in the end.
fn open(file: &Path, folder: &Path, more: &[&str]) -> String {
    let mut command = Command::new(env!("CLEAVE_CHROMIUM_FOUND"));
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--allow-file-access-from-files",
        "--window-size=1700,1000",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]);
    let profile = tempfile::tempdir_in(folder).unwrap();
    command
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(more)
        .arg(format!("file://{}", file.display()));
    let output = tempfile::NamedTempFile::new_in(folder).unwrap();
    let mut browser = command.stdout(output.reopen().unwrap()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while browser.try_wait().unwrap().is_none() {
        let late = start.elapsed() > PATIENCE;
        if late {
            browser.kill().unwrap();
        }
        assert!(!late, "the browser took more than {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::read_to_string(output.path()).unwrap()
}

/// Opens a page in frames of all [`WIDTHS`] and gives what each of them measured.
pub(crate) fn measured(page: &str, dark: bool) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("page.html");
    // Its own rules forbid scripts; the copy that is measured gives them up.
    let open_page = page.replacen(POLICY, "<meta name=\"was-policy\"", 1);
    assert_ne!(open_page, page, "the page has no policy");
    std::fs::write(&inner, format!("{open_page}<script data-measure>{MEASURE}</script>")).unwrap();
    let frames = WIDTHS
        .map(|width| format!("<iframe src=\"page.html\" style=\"width:{width}px;height:900px;border:0\"></iframe>"));
    let outer = folder.path().join("outer.html");
    let collect = "const all=[];onmessage=e=>{all.push(e.data);if(all.length==3){const b=new TextEncoder().encode(JSON.stringify(all));\
        let s='';b.forEach(v=>s+=String.fromCharCode(v));document.getElementById('out').textContent=btoa(s)}}";
    let style = "<!doctype html><meta name=color-scheme content='light dark'>";
    std::fs::write(&outer, format!("{style}<pre id=out></pre><script>{collect}</script>{}", frames.concat())).unwrap();
    let theme =
        if dark { "--blink-settings=preferredColorScheme=0" } else { "--blink-settings=preferredColorScheme=1" };
    let dom = open(&outer, folder.path(), &[theme]);
    let encoded = dom.split("id=\"out\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
    let json = BASE64.decode(encoded.as_bytes()).unwrap();
    assert!(!json.is_empty(), "the page told nothing: {dom:.500}");
    let mut all: Vec<Value> = serde_json::from_slice(&json).unwrap();
    all.sort_by_key(|found| found["width"].as_u64());
    all
}

/// Measures that must be empty.
const FAULTS: [&str; 8] = ["undecoded", "outside", "cut", "overlaps", "pale", "small", "fetched", "scrolled"];

/// The faults of a page, by width; no words where there are none.
pub(crate) fn faults(all: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    for found in all {
        let width = &found["width"];
        for fault in FAULTS {
            let list = found[fault].as_array().map(Vec::as_slice).unwrap_or_default();
            faults.extend(list.iter().take(6).map(|what| format!("{fault} at {width}: {what}")));
        }
        if found["scroll"][0].as_u64() > found["scroll"][1].as_u64() {
            faults.push(format!("scrolled at {width}: {}", found["scroll"]));
        }
        if found["marked"] != 0 {
            faults.push(format!("marked at {width}: a hostile name became an element"));
        }
    }
    faults
}

fn check(dark: bool, background: &str) {
    let mut all_faults = Vec::new();
    for Drawn { name, page, .. } in CASES.iter() {
        keep(name, page);
        let all = measured(page, dark);
        let widths: Vec<_> = all.iter().map(|found| found["width"].as_u64().unwrap() as usize).collect();
        assert_eq!(widths, WIDTHS);
        assert!(all.iter().all(|found| found["background"] == background), "{name}: {}", all[0]["background"]);
        assert!(all.iter().all(|found| found["texts"].as_u64().unwrap() > 20), "{name}: no text was measured");
        let images = page.matches("<img ").count() as u64;
        assert!(all.iter().all(|found| found["images"] == images), "{name}: {} of {images} images", all[0]["images"]);
        let charts = page.matches("<svg class=\"chart\"").count() as u64;
        assert!(all.iter().all(|found| found["charts"] == charts), "{name}: {} of {charts} charts", all[0]["charts"]);
        all_faults.extend(faults(&all).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(all_faults.is_empty(), "{:#?}", all_faults);
}

/// Leaves the page in the folder that `CLEAVE_REPORT_OUT` names, to be looked at.
pub(crate) fn keep(name: &str, page: &str) {
    if let Some(folder) = std::env::var_os("CLEAVE_REPORT_OUT").map(PathBuf::from) {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
}

#[test]
#[cfg_attr(not(chromium), ignore = "put chromium on the path, or name it in CLEAVE_CHROMIUM, and build again")]
fn pages_fit_at_all_widths_in_light() {
    check(false, "rgb(252, 252, 250)");
}

#[test]
#[cfg_attr(not(chromium), ignore = "put chromium on the path, or name it in CLEAVE_CHROMIUM, and build again")]
fn pages_fit_at_all_widths_in_dark() {
    check(true, "rgb(21, 24, 27)");
}

/// The measures see what they are for.
#[test]
#[cfg_attr(not(chromium), ignore = "put chromium on the path, or name it in CLEAVE_CHROMIUM, and build again")]
fn faults_are_found() {
    let page = page_of("rich");
    let spoil = [
        "<div style=\"width:3000px\">a wide box</div>",
        "<div style=\"width:40px;height:10px;overflow:hidden\">text that is cut off by its own box</div>",
        "<div style=\"position:relative;height:2em\"><p style=\"position:absolute\">one line</p><p style=\"position:absolute\">upon another</p></div>",
        "<p style=\"color:#8886\">pale</p>",
        "<svg viewBox=\"0 0 10 10\" width=\"10\"><text font-size=\"5\">tiny</text></svg>",
        "<img alt=\"damaged\" src=\"data:image/png;base64,AAAA\">",
        "<img alt=\"elsewhere\" src=\"http://127.0.0.1:9/missing.png\">",
        "<b onx=\"1\">marked</b>",
    ];
    let spoiled = page.replacen("</main>", &format!("{}</main>", spoil.concat()), 1);
    let found = faults(&measured(&spoiled, false));
    for fault in FAULTS.into_iter().chain(["marked"]) {
        for width in WIDTHS {
            let start = format!("{fault} at {width}");
            assert!(found.iter().any(|text| text.starts_with(&start)), "{start} was not found: {found:#?}");
        }
    }
}

/// Who was asked through a proxy while a page was open, the browser's own maker aside.
fn asked(page: &str) -> Vec<String> {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let lines = seen.clone();
    std::thread::spawn(move || {
        for mut connection in proxy.incoming().flatten() {
            let mut start = [0; 200];
            connection.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let length = connection.read(&mut start).unwrap_or(0);
            let line = String::from_utf8_lossy(&start[..length]).lines().next().unwrap_or_default().to_owned();
            lines.lock().unwrap().push(line);
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    let proxy = format!("--proxy-server={address}");
    let dom = open(&file, folder.path(), &[&proxy, "--proxy-bypass-list=<-loopback>"]);
    assert!(dom.contains("May I release this?"), "{dom:.300}");
    let seen = seen.lock().unwrap();
    seen.iter().filter(|line| !browsers_own(line)).cloned().collect()
}

/// Updates and clocks that a browser asks for by itself; `CONNECT host:443` or `GET http://host/...`.
fn browsers_own(line: &str) -> bool {
    let target = line.split(' ').nth(1).unwrap_or_default();
    let host = target.trim_start_matches("http://").split([':', '/']).next().unwrap_or_default();
    line.is_empty() || [".google.com", ".googleapis.com", ".gvt1.com"].iter().any(|own| host.ends_with(own))
}

#[test]
#[cfg_attr(not(chromium), ignore = "put chromium on the path, or name it in CLEAVE_CHROMIUM, and build again")]
fn no_request_leaves_the_page() {
    let page = page_of("rich");
    assert_eq!(asked(page), [""; 0]);
    let leak = "<img alt=\"\" src=\"http://leak.example/x.png\"></main>";
    let leaking = page.replacen("</main>", leak, 1);
    assert_eq!(asked(&leaking), [""; 0], "the page's own rules stop what slipped in");
    let free = leaking.replacen(POLICY, "<meta name=\"was-policy\"", 1);
    let asked = asked(&free);
    assert!(
        asked.iter().any(|line| line.starts_with("GET http://leak.example/x.png")),
        "the proxy saw nothing: {asked:?}"
    );
}

#[test]
#[cfg_attr(not(chromium), ignore = "put chromium on the path, or name it in CLEAVE_CHROMIUM, and build again")]
fn a_page_without_pictures_fits_too() {
    let mut case = drawn("rich").case.clone();
    case.audit.baselines.clear();
    case.audit.cuts.iter_mut().flat_map(|cut| &mut cut.inversions).for_each(|attack| attack.pictures.clear());
    let page = cleave_audit::page(&case.audit, &case.verdicts).unwrap();
    assert_eq!(faults(&measured(&page, false)), [""; 0]);
}
