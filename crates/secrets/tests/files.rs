//! Key files on disk: who may read them, what is replaced, and what a failure leaves behind.

#![allow(clippy::unwrap_used, reason = "clippy exempts only the test functions themselves")]

use std::{fs, path::Path, thread};

use cleave_secrets::{Contents, Cost, Error, Existing, Label, Protection, Secret, load, save};

const PURPOSE: &str = "test";
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
const SEALED: Protection<'_> = Protection::Passphrase { passphrase: "x", cost: CHEAP };

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn secret_comes_back_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    let secret = Secret::generate().unwrap();
    for (protection, passphrase, sealed) in [(SEALED, Some("x"), Some(CHEAP)), (Protection::ClearText, None, None)] {
        secret.save(&path, PURPOSE, protection, Existing::Replace).unwrap();
        assert_eq!(Secret::load(&path, PURPOSE, passphrase).unwrap().expose(), secret.expose());
        let label = Label { purpose: PURPOSE.into(), key: Some(secret.id()), sealed };
        assert_eq!(Label::load(&path).unwrap(), label);
        let says = fs::read_to_string(&path).unwrap().contains("NOT SEALED");
        assert_eq!(says, sealed.is_none());
    }
    assert_eq!(names(folder.path()), ["a.key"]);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    fs::write(&path, "readable by all").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    Secret::generate().unwrap().save(&path, PURPOSE, SEALED, Existing::Replace).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

    let path = folder.path().join("b.key");
    Secret::generate().unwrap().save(&path, PURPOSE, SEALED, Existing::Keep).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    let [first, second] = [b"first", b"other"].map(|bytes| Contents::new(bytes.to_vec()));
    let payload = || load(&path, PURPOSE, Some("x")).unwrap().payload().to_vec();

    save(&path, &first, PURPOSE, SEALED, Existing::Keep).unwrap();
    let error = save(&path, &second, PURPOSE, SEALED, Existing::Keep).unwrap_err();
    assert!(matches!(&error, Error::Exists { path: at } if *at == path), "{error}");
    assert_eq!(payload(), b"first");
    save(&path, &second, PURPOSE, SEALED, Existing::Replace).unwrap();
    assert_eq!(payload(), b"other");
    assert_eq!(names(folder.path()), ["a.key"]);
}

#[test]
fn of_many_at_once_one_wins_and_its_file_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    let path = path.as_path();
    let secrets: Vec<_> = (0..8).map(|_| Secret::generate().unwrap()).collect();
    let saved: Vec<_> = thread::scope(|scope| {
        let save = |secret| scope.spawn(move || Secret::save(secret, path, PURPOSE, SEALED, Existing::Keep).is_ok());
        let threads: Vec<_> = secrets.iter().map(save).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners: Vec<_> =
        secrets.iter().zip(saved).filter(|(_, saved)| *saved).map(|(secret, _)| secret.id()).collect();
    assert_eq!(winners, [Secret::load(path, PURPOSE, Some("x")).unwrap().id()]);
    assert_eq!(names(folder.path()), ["a.key"]);
}

#[test]
fn failures_leave_nothing_and_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    let contents = Contents::new(vec![1]);
    let empty = Protection::Passphrase { passphrase: "", cost: CHEAP };
    let error = save(&path, &contents, PURPOSE, empty, Existing::Keep).unwrap_err();
    assert!(matches!(error.fault(), Error::PassphraseLength { got: 0, .. }));
    assert!(error.to_string().contains("a.key"));

    // A folder under the name cannot be replaced by a file, which is noticed at the last step.
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "").unwrap();
    let error = save(&path, &contents, PURPOSE, SEALED, Existing::Replace).unwrap_err();
    assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
    assert!(matches!(load(&path, PURPOSE, None), Err(Error::Io { action: "read", .. })));
    assert_eq!(names(folder.path()), ["a.key"]);

    let nowhere = folder.path().join("missing").join("a.key");
    let error = save(&nowhere, &contents, PURPOSE, SEALED, Existing::Keep).unwrap_err();
    assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
    let error = load(&nowhere, PURPOSE, None).err().unwrap();
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error}");
}

#[test]
fn what_was_read_and_refused_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    fs::write(&path, "{").unwrap();
    let error = load(&path, PURPOSE, None).err().unwrap();
    assert!(matches!(error.fault(), Error::Truncated { got: 1 }), "{error}");
    assert!(error.to_string().contains("a.key"));
    assert!(matches!(Label::load(&path).unwrap_err().fault(), Error::Truncated { got: 1 }));
}

#[test]
fn a_bare_secret_must_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    let [one, other] = [1, 2].map(|byte| Secret::from_bytes(&[byte; 32]));
    let saved = |contents: Contents| {
        save(&path, &contents, PURPOSE, SEALED, Existing::Replace).unwrap();
        Secret::load(&path, PURPOSE, Some("x")).err().unwrap()
    };
    let long = saved(Contents::new(vec![1; 33]).named(one.id()));
    assert!(matches!(long.fault(), Error::NotASecret { got: 33 }), "{long}");
    let nameless = saved(Contents::new(vec![1; 32]));
    assert!(matches!(nameless.fault(), Error::NotASecret { got: 32 }), "{nameless}");
    let wrong = saved(Contents::new(vec![1; 32]).named(other.id()));
    let Error::OtherSecret { expected, got } = *wrong.fault() else { panic!("{wrong}") };
    assert_eq!((expected, got), (other.id(), one.id()));
}
