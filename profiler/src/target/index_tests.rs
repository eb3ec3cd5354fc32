use super::*;

fn index() -> Index {
    Index::new(Kernel::running().unwrap())
}

#[test]
fn this_process_runs_on_an_allocator() {
    let found = index().find_in_process(std::process::id()).unwrap();
    let libc = found.allocators.iter().find(|located| located.allocator.path.contains("libc")).expect("the test program is dynamic");
    assert!(libc.reach.is_file());
    let metadata = fs::metadata(&libc.reach).unwrap();
    assert_eq!(metadata.ino(), libc.file.2);
    assert!(libc.allocator.probes.len() >= 5, "{:?}", libc.allocator);
    assert!(!found.allocators.iter().any(|located| located.allocator.path.contains("ld-")), "the loader is none");
}

#[test]
fn a_file_is_examined_once() {
    let mut index = index();
    let first = index.find_in_process(std::process::id()).unwrap();
    let second = index.find_in_process(std::process::id()).unwrap();
    assert_eq!(first.allocators.len(), second.allocators.len());
    for (one, other) in first.allocators.iter().zip(&second.allocators) {
        assert!(Arc::ptr_eq(&one.allocator, &other.allocator));
    }
}

#[test]
fn a_process_that_is_gone() {
    assert_eq!(index().find_in_process(u32::MAX).unwrap_err().kind, Kind::Target);
}

#[test]
fn a_replaced_file_is_not_mistaken_for_the_mapped_one() {
    let mut mapping = maps::read(std::process::id()).unwrap().into_iter().find(Mapping::is_code).unwrap();
    assert!(open(std::process::id(), &mapping).is_ok());
    mapping.inode += 1;
    assert!(open(std::process::id(), &mapping).is_err());
    mapping.path = "/dev/zero".into();
    assert!(open(std::process::id(), &mapping).is_err());
}
