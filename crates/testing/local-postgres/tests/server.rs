//! Real servers, started as whoever runs the tests, and as root and an ordinary user where we are
//! root.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;

use local_postgres::{Error, Halt, Options, Programs, Server};

/// `nobody` on every Linux.
const ORDINARY: u32 = 65534;

fn programs() -> Result<Programs, Error> {
    Programs::find(&[])
}

/// Whether somebody accepts connections there.
fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn a_temporary_server_leaves_nothing_behind() {
    let server = Server::start(&Options::temporary(programs().unwrap())).unwrap();
    let (dir, port) = (server.dir().to_path_buf(), server.port());
    assert_ne!(port, 5432);
    assert!(answers(port));
    assert!(server.is_running());
    assert!(
        server.url("x").starts_with("postgres://postgres:"),
        "{}",
        server.url("x")
    );
    assert!(
        server.url("x").ends_with(&format!("@127.0.0.1:{port}/x")),
        "{}",
        server.url("x")
    );

    server.stop().unwrap();
    assert!(!answers(port));
    assert!(!dir.exists());
}

/// A client that the server has a process for.
fn greeted(port: u16) -> std::io::Result<TcpStream> {
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0")?;
    client.read_exact(&mut [0])?;
    Ok(client)
}

#[test]
fn a_server_that_was_brought_down_comes_back_on_its_port() {
    let options = Options::temporary(programs().unwrap());
    let mut server = Server::start(&options).unwrap();
    let (dir, port) = (server.dir().to_path_buf(), server.port());
    for how in [Halt::Fast, Halt::Immediate, Halt::Killed] {
        let client = greeted(port).unwrap();
        server.halt(how).unwrap();
        assert!(!server.is_running());
        server.start_again().unwrap();
        assert!(server.is_running());
        assert_eq!(server.port(), port);
        assert!(answers(port));
        drop(client);
    }
    server.stop().unwrap();
    assert!(!dir.exists());
}

#[test]
fn two_servers_run_at_once() {
    let options = Options::temporary(programs().unwrap());
    let (one, two) = (
        Server::start(&options).unwrap(),
        Server::start(&options).unwrap(),
    );
    assert_ne!(one.port(), two.port());
    assert_ne!(one.url("postgres"), two.url("postgres"));
    assert!(answers(one.port()) && answers(two.port()));
    drop(one);
    assert!(answers(two.port()), "ending one must not end the other");
}

#[test]
fn a_server_whose_manager_was_killed_is_adopted() {
    let place = tempfile::tempdir().unwrap();
    let options = Options::in_dir(programs().unwrap(), place.path());
    let first = Server::adopt_or_start(&options).unwrap();
    assert!(!first.was_adopted());
    let (pid, url) = (first.pid(), first.url("postgres"));
    first.leave_running();

    let second = Server::adopt_or_start(&options).unwrap();
    assert!(second.was_adopted());
    assert_eq!((second.pid(), second.url("postgres")), (pid, url));

    let refused = Server::start(&options).unwrap_err();
    assert!(
        matches!(refused, Error::StartTwice { pid: other, .. } if other == pid),
        "{refused}"
    );

    let port = second.port();
    second.stop().unwrap();
    assert!(!answers(port));
    assert!(!Server::end_leftover(place.path()).unwrap());
}

#[test]
fn a_leftover_server_is_ended() {
    let place = tempfile::tempdir().unwrap();
    let options = Options::in_dir(programs().unwrap(), place.path());
    let server = Server::start(&options).unwrap();
    let port = server.port();
    server.leave_running();
    assert!(answers(port));

    assert!(Server::end_leftover(place.path()).unwrap());
    assert!(!answers(port));
    assert!(!Server::end_leftover(place.path()).unwrap());
    assert!(!Server::end_leftover(Path::new("/nowhere")).unwrap());
}

#[test]
fn managers_that_start_together_share_one_server() {
    let place = tempfile::tempdir().unwrap();
    let options = Options::in_dir(programs().unwrap(), place.path());
    let together = std::sync::Barrier::new(4);
    let pids: Vec<i32> = std::thread::scope(|scope| {
        let managers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    let server = Server::adopt_or_start(&options).unwrap();
                    let pid = server.pid();
                    server.leave_running();
                    pid
                })
            })
            .collect();
        managers
            .into_iter()
            .map(|manager| manager.join().unwrap())
            .collect()
    });
    Server::end_leftover(place.path()).unwrap();
    assert_eq!(pids, [pids[0]; 4]);
}

#[test]
fn a_setting_that_postgresql_refuses_is_said_with_its_log() {
    let options = Options::temporary(programs().unwrap()).setting("max_connections", "none");
    let error = Server::start(&options).unwrap_err().to_string();
    assert!(
        error.starts_with("PostgreSQL ended before it was ready"),
        "{error}"
    );
    assert!(error.contains("max_connections"), "{error}");
}

#[test]
fn a_directory_of_another_major_version_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let options = Options::in_dir(programs().unwrap(), place.path());
    Server::start(&options).unwrap().stop().unwrap();
    std::fs::write(place.path().join("data/PG_VERSION"), "9.6\n").unwrap();
    let error = Server::start(&options).unwrap_err().to_string();
    assert!(error.contains("was made by PostgreSQL 9.6"), "{error}");
}

/// As root the tests above start servers as another account; this one runs the first of them as an
/// ordinary user too. Somebody who is not root has run it as one already.
#[test]
fn an_ordinary_user_starts_a_server_as_well() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let open = tempfile::tempdir().unwrap();
    let mode = |bits| std::os::unix::fs::PermissionsExt::from_mode(bits);
    std::fs::set_permissions(open.path(), mode(0o777)).unwrap();
    let tests = open.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    std::fs::set_permissions(&tests, mode(0o755)).unwrap();

    let output = std::process::Command::new(&tests)
        .args(["--exact", "a_temporary_server_leaves_nothing_behind"])
        .env("TMPDIR", open.path())
        .current_dir("/")
        .uid(ORDINARY)
        .gid(ORDINARY)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
}
