use super::*;

#[test]
fn words_round_trip() {
    let w0 = head(Kind::Mmap, 123_456_789_012_345);
    assert_eq!((kind_of(w0), time_of(w0)), (17, 123_456_789_012_345));
    let w1 = place(0x7fff_ffff_f000, IN_HEAP | FAULT_WRITE);
    assert_eq!((address_of(w1), flags_of(w1)), (0x7fff_ffff_f000, IN_HEAP | FAULT_WRITE));
    let w2 = extent(u64::MAX, 4_194_303);
    assert_eq!((size_of(w2), tid_of(w2)), (SIZE_LIMIT, 4_194_303));
}

#[test]
fn kinds_are_numbered_within_the_tables() {
    for &kind in Kind::ALL {
        assert_eq!(Kind::from_u8(kind as u8), Some(kind));
        assert!((kind as usize) < KIND_SLOTS && matches!(kind.words(), 3 | 4 | 6) | (kind == Kind::Stack));
    }
}

#[test]
fn alignments() {
    assert_eq!(align_flags(0), 0);
    assert_eq!(align_flags(16), 4);
    assert_eq!(align_flags(4096), 12);
    assert_eq!(align_flags(24), 5 | ALIGN_ODD);
    assert_eq!(align_flags(u64::MAX), 63 | ALIGN_ODD);
}

#[test]
fn array_sizes_saturate() {
    assert_eq!(array_size(0, u64::MAX), 0);
    assert_eq!(array_size(u64::MAX, 0), 0);
    assert_eq!(array_size(3, 7), 21);
    assert_eq!(array_size(1 << 21, 1 << 20), 1 << 41);
    assert_eq!(array_size(1 << 32, 1 << 32), SIZE_LIMIT);
}

#[test]
fn resident_pages_share_a_word() {
    assert_eq!(rss_place(3 << 12, 5 << 12), 3 << 32 | 5);
}

#[test]
fn cookies_name_registers() {
    let cookie = Cookie::new(Kind::Calloc, Form::Plain, [Some(0), Some(15), None, None]);
    assert_eq!((cookie.kind(), cookie.form()), (Kind::Calloc as u8, Form::Plain));
    assert_eq!([slot::SIZE, slot::COUNT, slot::POINTER, slot::ALIGN].map(|slot| cookie.register(slot)), [Some(0), Some(15), None, None]);
    for form in [Form::Plain, Form::Flags, Form::Layout, Form::InPlace] {
        let cookie = Cookie::new(Kind::Malloc, form, [None, None, None, Some(15)]);
        assert_eq!((cookie.kind(), cookie.form(), cookie.register(slot::ALIGN)), (Kind::Malloc as u8, form, Some(15)));
    }
}

#[test]
fn what_is_asked_for() {
    assert_eq!(request(Kind::AlignedAlloc, Form::Plain, 8), (Kind::AlignedAlloc, 8));
    // MALLOCX_ALIGN(64) | MALLOCX_ZERO, MALLOCX_ZERO alone, an arena and a cache only.
    assert_eq!(request(Kind::Malloc, Form::Flags, 64 | 6), (Kind::AlignedAlloc, 64));
    assert_eq!(request(Kind::Malloc, Form::Flags, 64), (Kind::Calloc, 0));
    assert_eq!(request(Kind::Malloc, Form::Flags, 3 << 20 | 2 << 8), (Kind::Malloc, 0));
    assert_eq!([8, 16].map(|align| request(Kind::Calloc, Form::Layout, align)), [(Kind::Calloc, 0); 2]);
    assert_eq!(request(Kind::Calloc, Form::Layout, 32), (Kind::AlignedAlloc, 32));
}
