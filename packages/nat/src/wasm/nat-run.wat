;; The fast run of the NAT: the packets of a batch that need no thought (`translate/fast-run.ts` says which those are, has the same
;; in JavaScript, and is what a test compares this with).
;;
;; `stage` looks for the flows of a batch, in four loops, so that the ways from memory of all its slots, and then of all its
;; records, overlap; `run` translates frame by frame, up to the first that is not common.
;;
;;     stage   1  each frame: is it common? The hash of its tuple       } a note a frame
;;             2  touch four slots of the index, from each hash's home on
;;             3  which of the four has the hash's tag? Whose is it?
;;             4  touch each flow's record
;;     run     5  compare, rewrite, count
;;
;; A note takes 16 bytes:
;;
;;     +0   where the IP header is, 0 where the frame is not common
;;     +4   length of the packet
;;     +8   its hash; from loop 3 on: flow << 1 | direction, -1 where it is not known
;;     +12  where the record of that flow starts
;;
;; Slots and records are those of `conntrack/flow-table.ts` and `conntrack/record.ts`. What is read from slots only says where to
;; look: it is masked, so that whatever stands there leads to a record. Lengths that a packet gives are held against the frame's
;; before a byte is read by them.
;;
;; The map of addresses, which `translate/wasm-run.ts` writes:
;;
;;     +0   off, len, flags, gsoType, refs of the pool
;;     +20  notes
;;     +24  index          +28  number of the last slot
;;     +32  records        +36  what masks an offset into them
;;     +40  shift          +44  bits of a slot that say whose it is
;;     +48  four multipliers
;;     +64  whether packets are counted
;;     +80  what was seen while touching
;;
;; Numbers in the code: in a record +32 is DELTA, +36 EXPIRES, +40 TIMEOUT, +44 STATE, +48 COUNTS; 0x10 is FAST, 0x300 DNAT | SNAT,
;; 0x400 ROUTED.
(module
  (import "l2l3" "memory" (memory 0))

  ;; Looks for the flows of the `n` frames, at most 64, whose rows stand at `rows`. `upper` is the upper half of their kinds: the zone.
  (func (export "stage") (param $map i32) (param $rows i32) (param $n i32) (param $upper i32)
    (local $off i32) (local $len i32) (local $flags i32) (local $gso i32) (local $refs i32)
    (local $m0 i32) (local $m1 i32) (local $m2 i32) (local $m3 i32)
    (local $note i32) (local $end i32) (local $f i32) (local $o i32) (local $size i32) (local $total i32)
    (local $word i32) (local $protocol i32) (local $src i32) (local $dst i32) (local $ports i32) (local $h i32)
    (local $index i32) (local $slots i32) (local $shift i32) (local $whoBits i32) (local $whose i32)
    (local $records i32) (local $bases i32) (local $at i32) (local $tries i32)
    (local $quad v128) (local $seen v128)

    (local.set $off (i32.load (local.get $map)))
    (local.set $len (i32.load offset=4 (local.get $map)))
    (local.set $flags (i32.load offset=8 (local.get $map)))
    (local.set $gso (i32.load offset=12 (local.get $map)))
    (local.set $refs (i32.load offset=16 (local.get $map)))
    (local.set $m0 (i32.load offset=48 (local.get $map)))
    (local.set $m1 (i32.load offset=52 (local.get $map)))
    (local.set $m2 (i32.load offset=56 (local.get $map)))
    (local.set $m3 (i32.load offset=60 (local.get $map)))

    ;; 1: what is in the frames.
    (local.set $note (i32.load offset=20 (local.get $map)))
    (local.set $end (i32.add (local.get $note) (i32.shl (local.get $n) (i32.const 4))))
    (loop $frame
      (local.set $f (i32.load (local.get $rows)))
      (local.set $o (i32.load (i32.add (local.get $off) (i32.shl (local.get $f) (i32.const 2)))))
      (local.set $size (i32.load (i32.add (local.get $len) (i32.shl (local.get $f) (i32.const 2)))))
      (block $read
        (block $else
          ;; Room for UDP behind IP; what is read below is within.
          (br_if $else (i32.lt_u (local.get $size) (i32.const 42)))
          (local.set $word (i32.load offset=14 align=1 (local.get $o)))
          ;; Offset of a fragment, TTL and protocol.
          (local.set $protocol (i32.load offset=20 align=1 (local.get $o)))
          (local.set $total
            (i32.or
              (i32.and (i32.shr_u (local.get $word) (i32.const 8)) (i32.const 0xff00))
              (i32.shr_u (local.get $word) (i32.const 24))))
          (br_if $else (i32.gt_u (local.get $total) (i32.sub (local.get $size) (i32.const 14))))
          ;; To one MAC address, EtherType 0800, version 4 with a header of five words; no fragment; its checksum done, no super-frame;
          ;; nobody else has it.
          (br_if $else
            (i32.or
              (i32.or
                (i32.or
                  (i32.and (i32.load8_u (local.get $o)) (i32.const 1))
                  (i32.or
                    (i32.xor (i32.load16_u offset=12 align=1 (local.get $o)) (i32.const 8))
                    (i32.xor (i32.and (local.get $word) (i32.const 255)) (i32.const 0x45))))
                (i32.and (local.get $protocol) (i32.const 0xff3f)))
              (i32.or
                (i32.or
                  (i32.and (i32.load8_u (i32.add (local.get $flags) (local.get $f))) (i32.const 1))
                  (i32.load8_u (i32.add (local.get $gso) (local.get $f))))
                (i32.xor
                  (i32.load (i32.add (local.get $refs) (i32.shl (local.get $f) (i32.const 2))))
                  (i32.const 1)))))
          (local.set $src (i32.load offset=26 align=1 (local.get $o)))
          (local.set $dst (i32.load offset=30 align=1 (local.get $o)))
          (local.set $ports (i32.load offset=34 align=1 (local.get $o)))
          ;; `flowHash`.
          (local.set $h
            (i32.add
              (i32.add
                (i32.mul (i32.rotl (local.get $src) (i32.const 16)) (local.get $m0))
                (i32.mul (i32.rotl (local.get $dst) (i32.const 16)) (local.get $m1)))
              (i32.add
                (i32.mul (local.get $ports) (local.get $m2))
                (i32.mul
                  (i32.xor
                    (i32.shr_u (local.get $ports) (i32.const 16))
                    (i32.or (local.get $upper) (i32.shr_u (local.get $protocol) (i32.const 24))))
                  (local.get $m3)))))
          (i32.store (local.get $note) (i32.add (local.get $o) (i32.const 14)))
          (i32.store offset=4 (local.get $note) (local.get $total))
          (i32.store offset=8 (local.get $note)
            (i32.mul (i32.xor (local.get $h) (i32.shr_u (local.get $h) (i32.const 15))) (i32.const 0x2c1b3c6d)))
          (br $read))
        (i64.store (local.get $note) (i64.const 0))
        (i32.store offset=8 (local.get $note) (i32.const 0)))
      (local.set $rows (i32.add (local.get $rows) (i32.const 4)))
      (local.set $note (i32.add (local.get $note) (i32.const 16)))
      (br_if $frame (i32.ne (local.get $note) (local.get $end))))

    (local.set $index (i32.load offset=24 (local.get $map)))
    (local.set $slots (i32.load offset=28 (local.get $map)))
    (local.set $records (i32.load offset=32 (local.get $map)))
    (local.set $bases (i32.load offset=36 (local.get $map)))
    (local.set $shift (i32.load offset=40 (local.get $map)))
    (local.set $whoBits (i32.load offset=44 (local.get $map)))
    (local.set $whose (i32.sub (i32.shl (i32.const 1) (local.get $whoBits)) (i32.const 1)))

    ;; 2: the slots. Behind the last one there is room for three more to be read.
    (local.set $note (i32.load offset=20 (local.get $map)))
    (loop $frame
      (local.set $seen
        (v128.xor
          (local.get $seen)
          (v128.load align=1
            (i32.add
              (local.get $index)
              (i32.shl (i32.shr_u (i32.load offset=8 (local.get $note)) (local.get $shift)) (i32.const 2))))))
      (local.set $note (i32.add (local.get $note) (i32.const 16)))
      (br_if $frame (i32.ne (local.get $note) (local.get $end))))

    ;; 3: whose they are.
    (local.set $note (i32.load offset=20 (local.get $map)))
    (loop $frame
      (local.set $h (i32.load offset=8 (local.get $note)))
      (local.set $o (i32.shr_u (local.get $h) (local.get $shift)))
      (local.set $h (i32.shl (local.get $h) (local.get $whoBits)))
      (local.set $at (i32.add (local.get $index) (i32.shl (local.get $o) (i32.const 2))))
      (local.set $quad (v128.load align=1 (local.get $at)))
      (local.set $f
        (i32x4.bitmask
          (i32x4.eq
            (i32x4.shr_u (v128.xor (local.get $quad) (i32x4.splat (local.get $h))) (local.get $whoBits))
            (v128.const i32x4 0 0 0 0))))
      (if (local.get $f)
        (then
          (local.set $word
            (i32.load (i32.add (local.get $at) (i32.shl (i32.ctz (local.get $f)) (i32.const 2))))))
        (else
          ;; It is farther from home, or behind the last slot, or nowhere.
          (local.set $tries (i32.const 64))
          (block $found
            (loop $next
              (local.set $word
                (i32.load (i32.add (local.get $index) (i32.shl (local.get $o) (i32.const 2)))))
              (br_if $found
                (i32.or
                  (i32.eqz (local.get $word))
                  (i32.eqz (i32.shr_u (i32.xor (local.get $word) (local.get $h)) (local.get $whoBits)))))
              (local.set $o (i32.and (i32.add (local.get $o) (i32.const 1)) (local.get $slots)))
              (local.set $tries (i32.sub (local.get $tries) (i32.const 1)))
              (br_if $next (local.get $tries)))
            (local.set $word (i32.const 0)))))
      (local.set $word (i32.sub (i32.and (local.get $word) (local.get $whose)) (i32.const 1)))
      (i32.store offset=8 (local.get $note) (local.get $word))
      (i32.store offset=12 (local.get $note)
        (i32.add
          (local.get $records)
          (i32.and (i32.shl (i32.shr_u (local.get $word) (i32.const 1)) (i32.const 6)) (local.get $bases))))
      (local.set $note (i32.add (local.get $note) (i32.const 16)))
      (br_if $frame (i32.ne (local.get $note) (local.get $end))))

    ;; 4: the records.
    (local.set $note (i32.load offset=20 (local.get $map)))
    (loop $frame
      (local.set $seen (v128.xor (local.get $seen) (v128.load (i32.load offset=12 (local.get $note)))))
      (local.set $note (i32.add (local.get $note) (i32.const 16)))
      (br_if $frame (i32.ne (local.get $note) (local.get $end))))
    ;; What was seen there is written down, or a compiler might not look.
    (v128.store offset=80 (local.get $map) (local.get $seen)))

  ;; Translates the staged frames from the `i`th on, up to the first that is not common, and gives its number. `now` in milliseconds.
  (func (export "run") (param $map i32) (param $i i32) (param $n i32) (param $upper i32) (param $now i32) (result i32)
    (local $notes i32) (local $note i32) (local $end i32) (local $counting i32)
    (local $l3 i32) (local $who i32) (local $record i32) (local $own i32) (local $other i32) (local $count i32)
    (local $total i32) (local $word2 i32) (local $protocol i32) (local $state i32) (local $delta i32)
    (local $word i32) (local $s i32) (local $counts i64) (local $counted i64)

    (local.set $notes (i32.load offset=20 (local.get $map)))
    (local.set $counting (i32.load offset=64 (local.get $map)))
    (local.set $note (i32.add (local.get $notes) (i32.shl (local.get $i) (i32.const 4))))
    (local.set $end (i32.add (local.get $notes) (i32.shl (local.get $n) (i32.const 4))))
    (block $done
      (loop $frame
        (br_if $done (i32.eq (local.get $note) (local.get $end)))
        (local.set $l3 (i32.load (local.get $note)))
        ;; Where no flow was found there is some record, too: the comparison tells.
        (br_if $done (i32.eqz (local.get $l3)))
        (local.set $who (i32.load offset=8 (local.get $note)))
        (local.set $record (i32.load offset=12 (local.get $note)))
        (local.set $who (i32.and (local.get $who) (i32.const 1)))
        (local.set $own (i32.or (local.get $record) (i32.shl (local.get $who) (i32.const 4))))
        (local.set $word2 (i32.load offset=8 align=1 (local.get $l3)))
        (local.set $protocol (i32.and (i32.shr_u (local.get $word2) (i32.const 8)) (i32.const 255)))
        ;; The tuple: addresses; ports and kind.
        (br_if $done (i64.ne (i64.load offset=12 align=1 (local.get $l3)) (i64.load (local.get $own))))
        (br_if $done
          (i64.ne
            (i64.or
              (i64.load32_u offset=20 align=1 (local.get $l3))
              (i64.shl
                (i64.extend_i32_u (i32.or (local.get $upper) (local.get $protocol)))
                (i64.const 32)))
            (i64.load offset=8 (local.get $own))))
        ;; A plain packet of this direction renews the flow and no more, and its time is not up.
        (local.set $state (i32.load offset=44 (local.get $record)))
        (br_if $done
          (i32.ne
            (i32.and
              (local.get $state)
              (i32.or (i32.shl (i32.const 0x10) (local.get $who)) (i32.const 0x400)))
            (i32.shl (i32.const 0x10) (local.get $who))))
        (br_if $done
          (i32.le_s (i32.sub (i32.load offset=36 (local.get $record)) (local.get $now)) (i32.const 0)))
        (local.set $total (i32.load offset=4 (local.get $note)))
        (if (local.get $counting)
          (then
            ;; Packets in the lower half, bytes in the upper; what goes beyond 32 bits is for the long way.
            (local.set $count (i32.add (local.get $record) (i32.shl (local.get $who) (i32.const 3))))
            (local.set $counts (i64.load offset=48 (local.get $count)))
            (local.set $counted
              (i64.add
                (local.get $counts)
                (i64.or (i64.shl (i64.extend_i32_u (local.get $total)) (i64.const 32)) (i64.const 1))))
            (br_if $done (i32.eqz (i32.wrap_i64 (local.get $counted))))
            (br_if $done (i64.lt_u (local.get $counted) (local.get $counts)))))
        (local.set $state (i32.and (local.get $state) (i32.const 0x300)))
        ;; Answers undo what was added: -x is ~x.
        (local.set $delta
          (i32.xor (i32.load offset=32 (local.get $record)) (i32.sub (i32.const 0) (local.get $who))))
        (if (i32.eq (local.get $protocol) (i32.const 17))
          (then
            (local.set $word (i32.load offset=24 align=1 (local.get $l3)))
            (local.set $s
              (i32.or
                (i32.shl (i32.and (local.get $word) (i32.const 255)) (i32.const 8))
                (i32.and (i32.shr_u (local.get $word) (i32.const 8)) (i32.const 255))))
            (br_if $done (i32.lt_u (local.get $s) (i32.const 8)))
            (br_if $done (i32.gt_s (local.get $s) (i32.sub (local.get $total) (i32.const 20))))
            ;; Without a checksum it gets none, and one that becomes zero is sent as 0xffff.
            (if (i32.and
                  (i32.ne (local.get $state) (i32.const 0))
                  (i32.gt_u (local.get $word) (i32.const 0xffff)))
              (then
                (local.set $s
                  (i32.add
                    (i32.shr_u (i32.xor (local.get $word) (i32.const -1)) (i32.const 16))
                    (i32.shr_u (local.get $delta) (i32.const 16))))
                (local.set $s
                  (i32.and
                    (i32.xor
                      (i32.add (local.get $s) (i32.shr_u (local.get $s) (i32.const 16)))
                      (i32.const -1))
                    (i32.const 0xffff)))
                (i32.store16 offset=26 align=1 (local.get $l3)
                  (select (local.get $s) (i32.const 0xffff) (local.get $s))))))
          (else
            (br_if $done (i32.ne (local.get $protocol) (i32.const 6)))
            (br_if $done (i32.lt_u (local.get $total) (i32.const 40)))
            (local.set $word (i32.load16_u offset=32 align=1 (local.get $l3)))
            (local.set $s (i32.and (i32.shr_u (local.get $word) (i32.const 2)) (i32.const 0x3c)))
            (br_if $done (i32.lt_u (local.get $s) (i32.const 20)))
            (br_if $done (i32.gt_u (local.get $s) (i32.sub (local.get $total) (i32.const 20))))
            ;; An ACK, neither SYN nor FIN nor RST; urgent or pushed or not.
            (br_if $done
              (i32.ne (i32.and (local.get $word) (i32.const 0x1700)) (i32.const 0x1000)))
            (if (local.get $state)
              (then
                (local.set $s
                  (i32.add
                    (i32.xor (i32.load16_u offset=36 align=1 (local.get $l3)) (i32.const 0xffff))
                    (i32.shr_u (local.get $delta) (i32.const 16))))
                (i32.store16 offset=36 align=1 (local.get $l3)
                  (i32.xor
                    (i32.add (local.get $s) (i32.shr_u (local.get $s) (i32.const 16)))
                    (i32.const -1)))))))
        (if (local.get $state)
          (then
            ;; The header's checksum; then both ends are those of the other direction, exchanged.
            (local.set $s
              (i32.add
                (i32.shr_u (i32.xor (local.get $word2) (i32.const -1)) (i32.const 16))
                (i32.and (local.get $delta) (i32.const 0xffff))))
            (i32.store16 offset=10 align=1 (local.get $l3)
              (i32.xor (i32.add (local.get $s) (i32.shr_u (local.get $s) (i32.const 16))) (i32.const -1)))
            (local.set $other (i32.xor (local.get $own) (i32.const 16)))
            (i64.store offset=12 align=1 (local.get $l3) (i64.rotl (i64.load (local.get $other)) (i64.const 32)))
            (i32.store offset=20 align=1 (local.get $l3)
              (i32.rotl (i32.load offset=8 (local.get $other)) (i32.const 16)))))
        (i32.store offset=36 (local.get $record)
          (i32.add (local.get $now) (i32.load offset=40 (local.get $record))))
        (if (local.get $counting)
          (then
            (i64.store offset=48 (local.get $count) (local.get $counted))))
        (local.set $note (i32.add (local.get $note) (i32.const 16)))
        (br $frame)))
    (i32.shr_u (i32.sub (local.get $note) (local.get $notes)) (i32.const 4))))
