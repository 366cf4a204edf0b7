;; The fast run of a switch: the part of a batch that needs no thought (`switch/fast-run.ts` says what that is, has the same in
;; JavaScript, and is what a test compares this with).
;;
;; It goes over the frames twice. First it reads from each what matters and works out where its two addresses are at home in
;; the table; looking there brings the entries into the cache, of all frames at a time, so that their ways from memory
;; overlap. Then it switches frame by frame, up to the first that is not common.
;;
;;     first    frame --> source key, destination key, VLAN and tag --> two places in the table     } a note a frame
;;     second   note  --> source is known here: refresh. Destination is known there: queue, count
;;
;; A note takes 32 bytes:
;;
;;     +0   source key: the VLAN in bits 48..59, the first two bytes of the address in 32..47, the last four in 0..31
;;     +8   destination key: the same
;;     +16  where the source is at home, in bytes from the start of the table
;;     +20  where the destination is
;;     +24  length of the frame
;;     +28  VLAN << 2 | TAGGED or UNTAGGED
;;
;; A key is thus words 0 and 1 of an entry (`switch/fdb.ts`) as 64 bits. All it works with stands in a map of addresses, which
;; `switch/wasm-run.ts` writes. Numbers in the code: an entry has 16 bytes, a queue 64 places, a port's counters 64 bytes,
;; a VLAN's 32; membership 0 is NOT_MEMBER; form 1 is TAGGED, 2 UNTAGGED.
(module
  (import "l2l3" "memory" (memory 0))

  ;; Switches the `n` frames, at most 64, whose rows stand at `rows`, and which came in by port `from`, up to the first that is
  ;; not common, and says how many that were. `options`: 1, sources are learnt; 2, a frame may leave by the port it came in by;
  ;; 4, all frames count as untagged; 8, the table is crowded. `slowOut` has the flags of ports that no frame leaves by here.
  (func (export "run")
    (param $map i32) (param $rows i32) (param $n i32) (param $from i32) (param $options i32) (param $slowOut i32)
    (param $pvid i32) (param $now i32) (param $ageing i32)
    (result i32)
    (local $notes i32) (local $table i32) (local $wrap i32) (local $aware i32)
    (local $off i32) (local $len i32) (local $salt i32) (local $shift i32) (local $members i32) (local $tpid i32)
    (local $flags i32) (local $portCount i32) (local $queue i32) (local $queued i32) (local $touched i32)
    (local $counts i32) (local $vlanCounts i32)
    (local $row i32) (local $end i32) (local $note i32)
    (local $f i32) (local $o i32) (local $size i32) (local $vlan i32) (local $form i32) (local $seen i64)
    (local $src i64) (local $dst i64) (local $h i32) (local $g i32) (local $at i32) (local $tries i32)
    (local $to i32) (local $key v128) (local $hit i32) (local $waiting i32) (local $ports i32) (local $bytes i64)
    (local $vlanNow i32) (local $vlanFrames i32) (local $vlanBytes i64)

    (local.set $off (i32.load (local.get $map)))
    (local.set $len (i32.load offset=4 (local.get $map)))
    (local.set $notes (i32.load offset=8 (local.get $map)))
    (local.set $table (i32.load offset=12 (local.get $map)))
    (local.set $wrap (i32.load offset=16 (local.get $map)))
    (local.set $salt (i32.load offset=20 (local.get $map)))
    (local.set $shift (i32.load offset=24 (local.get $map)))
    (local.set $members (i32.load offset=28 (local.get $map)))
    (local.set $tpid (i32.load offset=32 (local.get $map)))
    (local.set $aware (i32.load offset=36 (local.get $map)))

    ;; First: what is in the frames, and where their addresses are at home.
    (local.set $row (local.get $rows))
    (local.set $end (i32.add (local.get $rows) (i32.shl (local.get $n) (i32.const 2))))
    (local.set $note (local.get $notes))
    (local.set $form (i32.const 2))
    (block $read
      (loop $frame
        (br_if $read (i32.eq (local.get $row) (local.get $end)))
        (local.set $f (i32.shl (i32.load (local.get $row)) (i32.const 2)))
        (local.set $o (i32.load (i32.add (local.get $off) (local.get $f))))
        (local.set $size (i32.load (i32.add (local.get $len) (local.get $f))))
        (br_if $read (i32.lt_u (local.get $size) (i32.const 18)))
        (local.set $dst
          (i64.or
            (i64.load32_u offset=2 align=1 (local.get $o))
            (i64.shl (i64.load16_u align=1 (local.get $o)) (i64.const 32))))
        (local.set $src
          (i64.or
            (i64.load32_u offset=8 align=1 (local.get $o))
            (i64.shl (i64.load16_u offset=6 align=1 (local.get $o)) (i64.const 32))))
        ;; A group address, or a source of zeros.
        (br_if $read
          (i32.and (i32.wrap_i64 (i64.shr_u (i64.or (local.get $dst) (local.get $src)) (i64.const 32))) (i32.const 1)))
        (br_if $read (i64.eqz (local.get $src)))
        (if (local.get $aware)
          (then
            (local.set $vlan (local.get $pvid))
            (local.set $form (i32.const 2))
            (if (i32.and
                  (i32.eq (i32.load16_u offset=12 align=1 (local.get $o)) (local.get $tpid))
                  (i32.eqz (i32.and (local.get $options) (i32.const 4))))
              (then
                (local.set $vlan
                  (i32.or
                    (i32.shl (i32.and (i32.load8_u offset=14 (local.get $o)) (i32.const 15)) (i32.const 8))
                    (i32.load8_u offset=15 (local.get $o))))
                (local.set $form (i32.const 1))))
            (br_if $read (i32.eqz (local.get $vlan)))
            (br_if $read
              (i32.eqz
                (i32.load8_u
                  (i32.add
                    (local.get $members)
                    (i32.or (i32.shl (local.get $from) (i32.const 12)) (local.get $vlan))))))
            (local.set $src
              (i64.or (local.get $src) (i64.shl (i64.extend_i32_u (local.get $vlan)) (i64.const 48))))
            (local.set $dst
              (i64.or (local.get $dst) (i64.shl (i64.extend_i32_u (local.get $vlan)) (i64.const 48))))))
        (i64.store (local.get $note) (local.get $src))
        (i64.store offset=8 (local.get $note) (local.get $dst))
        (i32.store offset=24 (local.get $note) (local.get $size))
        (i32.store offset=28 (local.get $note)
          (i32.or (i32.shl (local.get $vlan) (i32.const 2)) (local.get $form)))
        ;; `homeSlot` of both.
        (local.set $h
          (i32.xor
            (i32.mul (i32.xor (i32.wrap_i64 (local.get $src)) (local.get $salt)) (i32.const 0x9e3779b1))
            (i32.mul (i32.wrap_i64 (i64.shr_u (local.get $src) (i64.const 32))) (i32.const 0x85ebca6b))))
        (local.set $g
          (i32.xor
            (i32.mul (i32.xor (i32.wrap_i64 (local.get $dst)) (local.get $salt)) (i32.const 0x9e3779b1))
            (i32.mul (i32.wrap_i64 (i64.shr_u (local.get $dst) (i64.const 32))) (i32.const 0x85ebca6b))))
        (local.set $h
          (i32.mul (i32.xor (local.get $h) (i32.shr_u (local.get $h) (i32.const 16))) (i32.const 0x7feb352d)))
        (local.set $g
          (i32.mul (i32.xor (local.get $g) (i32.shr_u (local.get $g) (i32.const 16))) (i32.const 0x7feb352d)))
        (local.set $h
          (i32.shl
            (i32.shr_u
              (i32.mul (i32.xor (local.get $h) (i32.shr_u (local.get $h) (i32.const 15))) (i32.const 0x846ca68b))
              (local.get $shift))
            (i32.const 4)))
        (local.set $g
          (i32.shl
            (i32.shr_u
              (i32.mul (i32.xor (local.get $g) (i32.shr_u (local.get $g) (i32.const 15))) (i32.const 0x846ca68b))
              (local.get $shift))
            (i32.const 4)))
        (i32.store offset=16 (local.get $note) (local.get $h))
        (i32.store offset=20 (local.get $note) (local.get $g))
        (local.set $seen
          (i64.xor
            (local.get $seen)
            (i64.xor
              (i64.load (i32.add (local.get $table) (local.get $h)))
              (i64.load (i32.add (local.get $table) (local.get $g))))))
        ;; In a crowded table the fourth slot is looked at, too: it may be on the next cache line.
        (if (i32.and (local.get $options) (i32.const 8))
          (then
            (local.set $seen
              (i64.xor
                (local.get $seen)
                (i64.xor
                  (i64.load
                    (i32.add
                      (local.get $table)
                      (i32.and (i32.add (local.get $h) (i32.const 48)) (local.get $wrap))))
                  (i64.load
                    (i32.add
                      (local.get $table)
                      (i32.and (i32.add (local.get $g) (i32.const 48)) (local.get $wrap)))))))))
        (local.set $note (i32.add (local.get $note) (i32.const 32)))
        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br $frame)))
    ;; What was seen there is written down, or a compiler might not look.
    (i64.store offset=72 (local.get $map) (local.get $seen))

    (local.set $flags (i32.load offset=40 (local.get $map)))
    (local.set $portCount (i32.load offset=44 (local.get $map)))
    (local.set $queue (i32.load offset=48 (local.get $map)))
    (local.set $queued (i32.load offset=52 (local.get $map)))
    (local.set $touched (i32.load offset=56 (local.get $map)))
    (local.set $counts (i32.load offset=60 (local.get $map)))
    (local.set $vlanCounts (i32.load offset=64 (local.get $map)))
    (local.set $ports (i32.load16_u (local.get $touched)))

    ;; Second: switch them.
    (local.set $end (local.get $row))
    (local.set $row (local.get $rows))
    (local.set $note (local.get $notes))
    (block $done
      (loop $frame
        (br_if $done (i32.eq (local.get $row) (local.get $end)))
        (if (i32.and (local.get $options) (i32.const 1))
          (then
            ;; An address that is heard where it is known is only refreshed, whatever the kind of its entry. In a crowded
            ;; table one address in four is not at home, which no processor foresees: there the keys of four slots are compared
            ;; at once, without a branch, and the first that is the address is taken, or the last of them, from where the search
            ;; goes on (measured at 65,536 addresses: 35 ns a frame, instead of 45 with three
            ;; steps one after the other).
            (local.set $src (i64.load (local.get $note)))
            (local.set $at (i32.load offset=16 (local.get $note)))
            (if (i32.and (local.get $options) (i32.const 8))
              (then
                (local.set $key (v128.load64_splat (local.get $note)))
                (local.set $hit
                  (i32.or
                    (i64x2.bitmask
                      (i64x2.eq
                        (local.get $key)
                        (v128.load64_lane 1
                          (i32.add
                            (local.get $table)
                            (i32.and (i32.add (local.get $at) (i32.const 16)) (local.get $wrap)))
                          (v128.load64_zero (i32.add (local.get $table) (local.get $at))))))
                    (i32.shl
                      (i64x2.bitmask
                        (i64x2.eq
                          (local.get $key)
                          (v128.load64_lane 1
                            (i32.add
                              (local.get $table)
                              (i32.and (i32.add (local.get $at) (i32.const 48)) (local.get $wrap)))
                            (v128.load64_zero
                              (i32.add
                                (local.get $table)
                                (i32.and (i32.add (local.get $at) (i32.const 32)) (local.get $wrap)))))))
                      (i32.const 2))))
                (local.set $at
                  (i32.and
                    (i32.add
                      (local.get $at)
                      (i32.shl (i32.ctz (i32.or (local.get $hit) (i32.const 8))) (i32.const 4)))
                    (local.get $wrap)))))
            (if (i64.ne (i64.load (i32.add (local.get $table) (local.get $at))) (local.get $src))
              (then
                (local.set $tries (i32.const 32))
                (loop $next
                  (br_if $done (i32.eqz (local.get $tries)))
                  (local.set $tries (i32.sub (local.get $tries) (i32.const 1)))
                  (local.set $at (i32.and (i32.add (local.get $at) (i32.const 16)) (local.get $wrap)))
                  (br_if $next
                    (i64.ne (i64.load (i32.add (local.get $table) (local.get $at))) (local.get $src))))))
            (local.set $at (i32.add (local.get $table) (local.get $at)))
            (br_if $done
              (i32.ne (i32.load16_u offset=8 (local.get $at)) (i32.add (local.get $from) (i32.const 1))))
            (if (i32.ne (i32.load offset=12 (local.get $at)) (local.get $now))
              (then (i32.store offset=12 (local.get $at) (local.get $now))))))

        (local.set $dst (i64.load offset=8 (local.get $note)))
        (local.set $at (i32.load offset=20 (local.get $note)))
        (if (i32.and (local.get $options) (i32.const 8))
          (then
            (local.set $key (v128.load64_splat offset=8 (local.get $note)))
            (local.set $hit
              (i32.or
                (i64x2.bitmask
                  (i64x2.eq
                    (local.get $key)
                    (v128.load64_lane 1
                      (i32.add
                        (local.get $table)
                        (i32.and (i32.add (local.get $at) (i32.const 16)) (local.get $wrap)))
                      (v128.load64_zero (i32.add (local.get $table) (local.get $at))))))
                (i32.shl
                  (i64x2.bitmask
                    (i64x2.eq
                      (local.get $key)
                      (v128.load64_lane 1
                        (i32.add
                          (local.get $table)
                          (i32.and (i32.add (local.get $at) (i32.const 48)) (local.get $wrap)))
                        (v128.load64_zero
                          (i32.add
                            (local.get $table)
                            (i32.and (i32.add (local.get $at) (i32.const 32)) (local.get $wrap)))))))
                  (i32.const 2))))
            (local.set $at
              (i32.and
                (i32.add
                  (local.get $at)
                  (i32.shl (i32.ctz (i32.or (local.get $hit) (i32.const 8))) (i32.const 4)))
                (local.get $wrap)))))
        (if (i64.ne (i64.load (i32.add (local.get $table) (local.get $at))) (local.get $dst))
          (then
            (local.set $tries (i32.const 32))
            (loop $next
              (br_if $done (i32.eqz (local.get $tries)))
              (local.set $tries (i32.sub (local.get $tries) (i32.const 1)))
              (local.set $at (i32.and (i32.add (local.get $at) (i32.const 16)) (local.get $wrap)))
              (br_if $next
                (i64.ne (i64.load (i32.add (local.get $table) (local.get $at))) (local.get $dst))))))
        (local.set $at (i32.add (local.get $table) (local.get $at)))
        (br_if $done
          (i32.ge_s (i32.sub (local.get $now) (i32.load offset=12 (local.get $at))) (local.get $ageing)))
        ;; A free slot has port 0, which becomes a number that no port has; a port that is not there has flags that say it is
        ;; down.
        (local.set $to (i32.sub (i32.load16_u offset=8 (local.get $at)) (i32.const 1)))
        (br_if $done (i32.ge_u (local.get $to) (local.get $portCount)))
        (br_if $done
          (i32.and
            (i32.eq (local.get $to) (local.get $from))
            (i32.eqz (i32.and (local.get $options) (i32.const 2)))))
        (br_if $done
          (i32.and
            (i32.load (i32.add (local.get $flags) (i32.shl (local.get $to) (i32.const 2))))
            (local.get $slowOut)))
        (if (local.get $aware)
          (then
            (local.set $vlan (i32.load offset=28 (local.get $note)))
            (br_if $done
              (i32.ne
                (i32.load8_u
                  (i32.add
                    (local.get $members)
                    (i32.or
                      (i32.shl (local.get $to) (i32.const 12))
                      (i32.shr_u (local.get $vlan) (i32.const 2)))))
                (i32.and (local.get $vlan) (i32.const 3))))))
        (local.set $waiting (i32.load8_u (i32.add (local.get $queued) (local.get $to))))
        (br_if $done (i32.eq (local.get $waiting) (i32.const 64)))
        (if (i32.eqz (local.get $waiting))
          (then
            (local.set $ports (i32.add (local.get $ports) (i32.const 1)))
            (i32.store16
              (i32.add (local.get $touched) (i32.shl (local.get $ports) (i32.const 1)))
              (local.get $to))))
        (i32.store
          (i32.add
            (local.get $queue)
            (i32.shl (i32.or (i32.shl (local.get $to) (i32.const 6)) (local.get $waiting)) (i32.const 2)))
          (i32.load (local.get $row)))
        (i32.store8
          (i32.add (local.get $queued) (local.get $to))
          (i32.add (local.get $waiting) (i32.const 1)))
        (local.set $size (i32.load offset=24 (local.get $note)))
        (local.set $bytes (i64.add (local.get $bytes) (i64.extend_i32_u (local.get $size))))
        (local.set $o (i32.add (local.get $counts) (i32.shl (local.get $to) (i32.const 6))))
        (f64.store offset=24 (local.get $o)
          (f64.add (f64.load offset=24 (local.get $o)) (f64.convert_i32_u (local.get $size))))
        (if (local.get $aware)
          (then
            ;; Frames of one VLAN mostly come together: they are counted together.
            (local.set $vlan (i32.shr_u (local.get $vlan) (i32.const 2)))
            (if (i32.ne (local.get $vlan) (local.get $vlanNow))
              (then
                (call $countVlan
                  (i32.add (local.get $vlanCounts) (i32.shl (local.get $vlanNow) (i32.const 5)))
                  (local.get $vlanFrames)
                  (local.get $vlanBytes))
                (local.set $vlanNow (local.get $vlan))
                (local.set $vlanFrames (i32.const 0))
                (local.set $vlanBytes (i64.const 0))))
            (local.set $vlanFrames (i32.add (local.get $vlanFrames) (i32.const 1)))
            (local.set $vlanBytes (i64.add (local.get $vlanBytes) (i64.extend_i32_u (local.get $size))))))
        (local.set $note (i32.add (local.get $note) (i32.const 32)))
        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br $frame)))

    (if (local.get $vlanFrames)
      (then
        (call $countVlan
          (i32.add (local.get $vlanCounts) (i32.shl (local.get $vlanNow) (i32.const 5)))
          (local.get $vlanFrames)
          (local.get $vlanBytes))))
    (i32.store16 (local.get $touched) (local.get $ports))
    (local.set $n (i32.shr_u (i32.sub (local.get $row) (local.get $rows)) (i32.const 2)))
    (local.set $o (i32.add (local.get $counts) (i32.shl (local.get $from) (i32.const 6))))
    (f64.store (local.get $o) (f64.add (f64.load (local.get $o)) (f64.convert_i32_u (local.get $n))))
    (f64.store offset=8 (local.get $o)
      (f64.add (f64.load offset=8 (local.get $o)) (f64.convert_i64_u (local.get $bytes))))
    (local.get $n))

  ;; Adds frames and bytes to the four counters of a VLAN: taken in, and sent out.
  (func $countVlan (param $at i32) (param $frames i32) (param $bytes i64)
    (f64.store (local.get $at)
      (f64.add (f64.load (local.get $at)) (f64.convert_i32_u (local.get $frames))))
    (f64.store offset=8 (local.get $at)
      (f64.add (f64.load offset=8 (local.get $at)) (f64.convert_i64_u (local.get $bytes))))
    (f64.store offset=16 (local.get $at)
      (f64.add (f64.load offset=16 (local.get $at)) (f64.convert_i32_u (local.get $frames))))
    (f64.store offset=24 (local.get $at)
      (f64.add (f64.load offset=24 (local.get $at)) (f64.convert_i64_u (local.get $bytes))))))
