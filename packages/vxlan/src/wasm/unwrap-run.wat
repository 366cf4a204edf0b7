;; The fast run out of tunnels: what `unwrap-run.ts` does in JavaScript for endpoints of VXLAN over IPv4, with packets that
;; are ours alone and complete, and need nothing to be summed up or merged. A test compares the two.
;;
;;     12             20              26    30    34        40    42      46     50
;;     | 0800 45 tos  | DF  ttl 17 .. | src | dst | UDP ... | sum | flags | VNI  | the frame inside
;;
;; Numbers are read as the machine has them, low byte first. It works with a map of addresses, which `wasm-runs.ts` writes.
(module
  (import "l2l3" "memory" (memory 0))

  ;; Takes the outer headers off frames, of `n`, up to the first that is not common or of another network than those before, and
  ;; says how many that were. `port` and `local` are the endpoint's as they are read from a frame; `none` says that none may
  ;; have a UDP checksum; else who calls has seen that they are right. VNI and network are left at words 8 and 9 of the map, where there was a frame.
  (func (export "run")
    (param $map i32) (param $frames i32) (param $n i32)
    (param $endpoint i32) (param $port i32) (param $local i32) (param $none i32)
    (result i32)
    (local $off i32) (local $len i32) (local $flags i32) (local $gsoType i32) (local $refs i32)
    (local $table i32) (local $wrap i32) (local $source i32)
    (local $v i32) (local $i i32) (local $end i32) (local $f i32) (local $o i32) (local $size i32) (local $head i32) (local $ports i32)
    (local $header i64) (local $same i64) (local $mark i64) (local $slot i32) (local $of i32) (local $network i32)

    (local.set $off (i32.load (local.get $map)))
    (local.set $len (i32.load offset=4 (local.get $map)))
    (local.set $flags (i32.load offset=8 (local.get $map)))
    (local.set $gsoType (i32.load offset=12 (local.get $map)))
    (local.set $refs (i32.load offset=16 (local.get $map)))
    (local.set $table (i32.load offset=20 (local.get $map)))
    (local.set $wrap (i32.load offset=24 (local.get $map)))
    (local.set $source (i32.load offset=28 (local.get $map)))

    (local.set $network (i32.const -1))
    (local.set $i (local.get $frames))
    (local.set $end (i32.add (local.get $frames) (i32.shl (local.get $n) (i32.const 2))))
    (block $done
      (loop $frame
        (br_if $done (i32.eq (local.get $i) (local.get $end)))
        (local.set $f (i32.load (local.get $i)))
        ;; Ours alone, and complete: `flags`, `gsoType` and `refs - 1` are zero.
        (br_if $done
          (i32.or
            (i32.or
              (i32.load8_u (i32.add (local.get $flags) (local.get $f)))
              (i32.load8_u (i32.add (local.get $gsoType) (local.get $f))))
            (i32.sub
              (i32.load (i32.add (local.get $refs) (i32.shl (local.get $f) (i32.const 2))))
              (i32.const 1))))
        (local.set $o (i32.load (i32.add (local.get $off) (i32.shl (local.get $f) (i32.const 2)))))
        (local.set $size (i32.load (i32.add (local.get $len) (i32.shl (local.get $f) (i32.const 2)))))
        (br_if $done (i32.lt_u (local.get $size) (i32.const 64)))

        ;; EtherType, version and header length: no options. Flags and offset, protocol. Length: nothing is behind it.
        (local.set $head (i32.load offset=12 align=2 (local.get $o)))
        (br_if $done (i32.ne (i32.and (local.get $head) (i32.const 0xffffff)) (i32.const 0x450008)))
        (br_if $done
          (i32.ne
            (i32.and (i32.load offset=20 align=2 (local.get $o)) (i32.const 0xff00ff3f))
            (i32.const 0x11000000)))
        (br_if $done
          (i32.ne
            (i32.and (i32.or (i32.shl (local.tee $v (i32.load16_u offset=16 (local.get $o))) (i32.const 8)) (i32.shr_u (local.get $v) (i32.const 8))) (i32.const 0xffff))
            (i32.sub (local.get $size) (i32.const 14))))
        (br_if $done (i32.ne (i32.load offset=30 align=2 (local.get $o)) (local.get $local)))
        (local.set $ports (i32.load offset=36 align=2 (local.get $o)))
        (br_if $done (i32.ne (i32.and (local.get $ports) (i32.const 0xffff)) (local.get $port)))
        (br_if $done
          (i32.ne
            (i32.and (i32.or (i32.shl (local.tee $v (i32.shr_u (local.get $ports) (i32.const 16))) (i32.const 8)) (i32.shr_u (local.get $v) (i32.const 8))) (i32.const 0xffff))
            (i32.sub (local.get $size) (i32.const 34))))
        (if (local.get $none)
          (then (br_if $done (i32.load16_u offset=40 (local.get $o)))))

        ;; A header like the last one is taken as that was.
        (local.set $header (i64.load offset=42 align=2 (local.get $o)))
        (if (i64.ne (local.get $header) (local.get $same))
          (then
            ;; The flags are those of VXLAN, and what is reserved is zero.
            (br_if $done
              (i64.ne (i64.and (local.get $header) (i64.const 0xff000000ffffffff)) (i64.const 8)))
            ;; An entry's first two words, VNI and endpoint + 1, in the place where it is looked for first, or in the next one.
            (local.set $mark
              (i64.or
                (i64.shr_u (local.get $header) (i64.const 32))
                (i64.shl (i64.extend_i32_u (i32.add (local.get $endpoint) (i32.const 1))) (i64.const 32))))
            (local.set $slot
              (i32.mul
                (i32.xor
                  (i32.wrap_i64 (local.get $mark))
                  (i32.shl (local.get $endpoint) (i32.const 24)))
                (i32.const 0x9e3779b1)))
            (local.set $slot
              (i32.and
                (i32.shl
                  (i32.xor (local.get $slot) (i32.shr_u (local.get $slot) (i32.const 15)))
                  (i32.const 4))
                (local.get $wrap)))
            (if (i64.ne (i64.load (i32.add (local.get $table) (local.get $slot))) (local.get $mark))
              (then
                (local.set $slot
                  (i32.and (i32.add (local.get $slot) (i32.const 16)) (local.get $wrap)))
                (br_if $done
                  (i64.ne (i64.load (i32.add (local.get $table) (local.get $slot))) (local.get $mark)))))
            (local.set $of (i32.load offset=8 (i32.add (local.get $table) (local.get $slot))))
            (if (i32.ge_s (local.get $network) (i32.const 0))
              (then (br_if $done (i32.ne (local.get $of) (local.get $network))))
              (else (local.set $ports (i32.wrap_i64 (local.get $mark)))))))

        ;; A mark of congestion is another's to merge, unless the frame inside is IPv4 and has the same already, as it has when
        ;; no router was congested.
        (if (i32.and (local.get $head) (i32.const 0x3000000))
          (then
            (br_if $done (i32.lt_u (local.get $size) (i32.const 84)))
            (br_if $done
              (i32.ne
                (i32.and (i32.load offset=62 align=2 (local.get $o)) (i32.const 0x3f0ffff))
                (i32.or (i32.and (local.get $head) (i32.const 0x3000000)) (i32.const 0x400008))))))

        (if (i64.ne (local.get $header) (local.get $same))
          (then
            (if (i32.lt_s (local.get $network) (i32.const 0))
              (then
                (local.set $network (local.get $of))
                (i32.store offset=32 (local.get $map) (local.get $ports))
                (i32.store offset=36 (local.get $map) (local.get $of))))
            (local.set $same (local.get $header))))
        (i32.store (local.get $source) (i32.load offset=26 align=2 (local.get $o)))
        (i32.store
          (i32.add (local.get $off) (i32.shl (local.get $f) (i32.const 2)))
          (i32.add (local.get $o) (i32.const 50)))
        (i32.store
          (i32.add (local.get $len) (i32.shl (local.get $f) (i32.const 2)))
          (i32.sub (local.get $size) (i32.const 50)))
        (local.set $source (i32.add (local.get $source) (i32.const 16)))
        (local.set $i (i32.add (local.get $i) (i32.const 4)))
        (br $frame)))
    (i32.shr_u (i32.sub (local.get $i) (local.get $frames)) (i32.const 2))))
