;; The ones-complement sum of a range of bytes (RFC 1071), sixteen bytes at a time.
;;
;; As in `wire/checksum.ts`, words are added as the machine has them, and the two bytes of the sum change places at the
;; end. Each lane of 32 bits keeps two sums that may wrap: of its words, and of their upper halves. What the first has
;; over the second is the sum of the lower halves:
;;
;;     lane   | upper half | lower half |         words += lane
;;                                                uppers += lane >>> 16
;;     lowers = words - (uppers << 16)            modulo 2^32, and less than that while a block is at most 512 KiB
;;
;; That is three instructions for sixteen bytes. Four vectors a round with two pairs of sums keep the adders of the
;; machine busy. What is left behind the last whole vector is read by eight, four, two bytes and one: no byte outside
;; the range is touched.
;;
;; The memory is the arena of a pool. `npm run wasm` makes `sum.wasm.ts` of this file.
(module
  (import "l2l3" "memory" (memory 0))

  ;; Adds the words of `[o, end)` to `initial`, of which 16 bits count, and gives 16 bits.
  (func (export "sum") (param $o i32) (param $end i32) (param $initial i32) (result i32)
    (local $words v128)
    (local $uppers v128)
    (local $words2 v128)
    (local $uppers2 v128)
    (local $a v128)
    (local $b v128)
    (local $c v128)
    (local $d v128)
    (local $stop i32)
    (local $s i64)
    (local $rest i64)

    (loop $block
      ;; Where this block stops: 256 KiB further, or at the end.
      (local.set $stop (local.get $end))
      (if (i32.gt_u (i32.sub (local.get $end) (local.get $o)) (i32.const 262144))
        (then (local.set $stop (i32.add (local.get $o) (i32.const 262144)))))
      (local.set $words (v128.const i32x4 0 0 0 0))
      (local.set $uppers (v128.const i32x4 0 0 0 0))
      (local.set $words2 (v128.const i32x4 0 0 0 0))
      (local.set $uppers2 (v128.const i32x4 0 0 0 0))

      (block $less
        (loop $four
          (br_if $less (i32.lt_u (i32.sub (local.get $stop) (local.get $o)) (i32.const 64)))
          (local.set $a (v128.load align=1 (local.get $o)))
          (local.set $b (v128.load offset=16 align=1 (local.get $o)))
          (local.set $c (v128.load offset=32 align=1 (local.get $o)))
          (local.set $d (v128.load offset=48 align=1 (local.get $o)))
          (local.set $words (i32x4.add (i32x4.add (local.get $words) (local.get $a)) (local.get $b)))
          (local.set $words2 (i32x4.add (i32x4.add (local.get $words2) (local.get $c)) (local.get $d)))
          (local.set $uppers
            (i32x4.add
              (i32x4.add (local.get $uppers) (i32x4.shr_u (local.get $a) (i32.const 16)))
              (i32x4.shr_u (local.get $b) (i32.const 16))))
          (local.set $uppers2
            (i32x4.add
              (i32x4.add (local.get $uppers2) (i32x4.shr_u (local.get $c) (i32.const 16)))
              (i32x4.shr_u (local.get $d) (i32.const 16))))
          (local.set $o (i32.add (local.get $o) (i32.const 64)))
          (br $four)))
      (block $none
        (loop $one
          (br_if $none (i32.lt_u (i32.sub (local.get $stop) (local.get $o)) (i32.const 16)))
          (local.set $a (v128.load align=1 (local.get $o)))
          (local.set $words (i32x4.add (local.get $words) (local.get $a)))
          (local.set $uppers (i32x4.add (local.get $uppers) (i32x4.shr_u (local.get $a) (i32.const 16))))
          (local.set $o (i32.add (local.get $o) (i32.const 16)))
          (br $one)))

      ;; The lanes as sums of 16-bit words, wide enough not to wrap: first lowers, then uppers.
      (local.set $uppers (i32x4.add (local.get $uppers) (local.get $uppers2)))
      (local.set $words
        (i32x4.sub
          (i32x4.add (local.get $words) (local.get $words2))
          (i32x4.shl (local.get $uppers) (i32.const 16))))
      (local.set $a
        (i64x2.add
          (i64x2.add (i64x2.extend_low_i32x4_u (local.get $words)) (i64x2.extend_high_i32x4_u (local.get $words)))
          (i64x2.add (i64x2.extend_low_i32x4_u (local.get $uppers)) (i64x2.extend_high_i32x4_u (local.get $uppers)))))
      (local.set $s
        (i64.add
          (local.get $s)
          (i64.add (i64x2.extract_lane 0 (local.get $a)) (i64x2.extract_lane 1 (local.get $a)))))
      (br_if $block (i32.ne (local.get $stop) (local.get $end))))

    ;; At most fifteen bytes more, put together to words as they would stand in memory with zeros behind them.
    (if (i32.and (i32.sub (local.get $end) (local.get $o)) (i32.const 8))
      (then
        (local.set $rest (i64.load align=1 (local.get $o)))
        (local.set $s
          (i64.add
            (local.get $s)
            (i64.add (i64.shr_u (local.get $rest) (i64.const 32)) (i64.and (local.get $rest) (i64.const 0xffffffff)))))
        (local.set $o (i32.add (local.get $o) (i32.const 8)))))
    (if (i32.and (i32.sub (local.get $end) (local.get $o)) (i32.const 4))
      (then
        (local.set $s (i64.add (local.get $s) (i64.load32_u align=1 (local.get $o))))
        (local.set $o (i32.add (local.get $o) (i32.const 4)))))
    (if (i32.and (i32.sub (local.get $end) (local.get $o)) (i32.const 2))
      (then
        (local.set $s (i64.add (local.get $s) (i64.load16_u align=1 (local.get $o))))
        (local.set $o (i32.add (local.get $o) (i32.const 2)))))
    (if (i32.and (i32.sub (local.get $end) (local.get $o)) (i32.const 1))
      (then (local.set $s (i64.add (local.get $s) (i64.load8_u (local.get $o))))))

    ;; The start value has its bytes the right way round; so the sum needs it the other way.
    (local.set $s
      (i64.add
        (local.get $s)
        (i64.extend_i32_u
          (i32.or
            (i32.shl (i32.and (local.get $initial) (i32.const 0xff)) (i32.const 8))
            (i32.and (i32.shr_u (local.get $initial) (i32.const 8)) (i32.const 0xff))))))

    ;; Fold: 64 bits to 33, to 32 and some, to 17, to 16.
    (local.set $s
      (i64.add (i64.and (local.get $s) (i64.const 0xffffffff)) (i64.shr_u (local.get $s) (i64.const 32))))
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 16))))
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 16))))
    (local.set $s (i64.add (i64.and (local.get $s) (i64.const 0xffff)) (i64.shr_u (local.get $s) (i64.const 16))))
    (local.set $stop (i32.wrap_i64 (local.get $s)))
    (i32.or
      (i32.shl (i32.and (local.get $stop) (i32.const 0xff)) (i32.const 8))
      (i32.shr_u (local.get $stop) (i32.const 8)))))
