;; The fast run into tunnels: what `outer-run.ts` does in JavaScript with frames that are ours alone and complete and whose
;; IPv4 header is a plain one, for outer headers of IPv4 and UDP; but for the UDP checksum. A test compares the two.
;;
;;     row   | length, bits, sums, ports ...: 16 words | the outer header as it goes onto the wire: `length` bytes |
;;                                                       0         8         16        24        32        40      48
;;                                                      | MACs .. | .. type | len, id | sum ... | ports . | tunnel | ...
;;
;; The header is copied by eight bytes at a time, with what differs from frame to frame put in on the way. The frame starts
;; where the header ends, and stays as it is. Numbers are read and written as the machine has them, low byte first: `$swap`
;; turns those of the wire.
;;
;; It works with a map of addresses, which `wasm-runs.ts` writes. Numbers in the code: words of a row are those of `outer-row.ts`,
;; as are bits.
(module
  (import "l2l3" "memory" (memory 0))

  ;; Puts header `rowOf[i]` in front of frame `frames[i]`, of `n`, up to the first that is not common, and says how many that were.
  ;; Word 10 of the map then has the bits of all their rows together: who calls makes UDP checksums where they are wanted.
  (func (export "run")
    (param $map i32) (param $frames i32) (param $n i32) (param $rowOf i32)
    (result i32)
    (local $off i32) (local $len i32) (local $flags i32) (local $gsoType i32) (local $refs i32) (local $stride i32)
    (local $rows i32) (local $ids i32) (local $tosOf i32) (local $signs i32)
    (local $v i32) (local $i i32) (local $end i32) (local $f i32) (local $row i32) (local $bits i32) (local $all i32) (local $length i32)
    (local $at i32) (local $size i32) (local $o i32) (local $total i32) (local $head i32) (local $middle i32)
    (local $protocol i32) (local $ports i32) (local $sign i32) (local $a i32) (local $b i32) (local $h i32)
    (local $tos i32) (local $id i32) (local $place i32) (local $more i32) (local $sum i32) (local $udp i32) (local $w i32)

    (local.set $off (i32.load (local.get $map)))
    (local.set $len (i32.load offset=4 (local.get $map)))
    (local.set $flags (i32.load offset=8 (local.get $map)))
    (local.set $gsoType (i32.load offset=12 (local.get $map)))
    (local.set $refs (i32.load offset=16 (local.get $map)))
    (local.set $stride (i32.load offset=20 (local.get $map)))
    (local.set $rows (i32.load offset=24 (local.get $map)))
    (local.set $ids (i32.load offset=28 (local.get $map)))
    (local.set $tosOf (i32.load offset=32 (local.get $map)))
    (local.set $signs (i32.load offset=36 (local.get $map)))

    (local.set $i (local.get $frames))
    (local.set $end (i32.add (local.get $frames) (i32.shl (local.get $n) (i32.const 2))))
    (block $done
      (loop $frame
        (br_if $done (i32.eq (local.get $i) (local.get $end)))
        (local.set $f (i32.load (local.get $i)))
        (local.set $row (i32.add (local.get $rows) (i32.shl (i32.load (local.get $rowOf)) (i32.const 2))))
        ;; PLAIN, and not V6.
        (local.set $bits (i32.load offset=4 (local.get $row)))
        (br_if $done (i32.ne (i32.and (local.get $bits) (i32.const 513)) (i32.const 512)))

        ;; Ours alone, and complete: `flags`, `gsoType` and `refs - 1` are zero.
        (br_if $done
          (i32.or
            (i32.or
              (i32.load8_u (i32.add (local.get $flags) (local.get $f)))
              (i32.load8_u (i32.add (local.get $gsoType) (local.get $f))))
            (i32.sub
              (i32.load (i32.add (local.get $refs) (i32.shl (local.get $f) (i32.const 2))))
              (i32.const 1))))

        ;; Long enough for an Ethernet header, an IPv4 header without options and two ports, not too long, and with room in
        ;; front of it.
        (local.set $length (i32.load (local.get $row)))
        (local.set $at (i32.load (i32.add (local.get $off) (i32.shl (local.get $f) (i32.const 2)))))
        (local.set $size (i32.load (i32.add (local.get $len) (i32.shl (local.get $f) (i32.const 2)))))
        (local.set $o (i32.sub (local.get $at) (local.get $length)))
        (local.set $total (i32.add (i32.sub (local.get $length) (i32.const 14)) (local.get $size)))
        (br_if $done (i32.lt_u (local.get $size) (i32.const 38)))
        (br_if $done (i32.gt_u (local.get $total) (i32.const 65535)))
        (br_if $done
          (i32.lt_u
            (i32.sub (local.get $at) (i32.mul (local.get $f) (local.get $stride)))
            (local.get $length)))

        ;; EtherType, version and header length, type of service; flags and offset, time to live, protocol.
        (local.set $head (i32.load offset=12 align=2 (local.get $at)))
        (local.set $middle (i32.load offset=20 align=2 (local.get $at)))
        (br_if $done (i32.ne (i32.and (local.get $head) (i32.const 0xffffff)) (i32.const 0x450008)))
        (br_if $done (i32.and (local.get $middle) (i32.const 0xff3f)))

        ;; The flow's hash, as `flow-hash.ts` has it, and whether it may be a tunnel's packet.
        (local.set $protocol (i32.shr_u (local.get $middle) (i32.const 24)))
        (local.set $ports (local.get $protocol))
        (local.set $sign (local.get $protocol))
        (if (i32.or
              (i32.or
                (i32.eq (local.get $protocol) (i32.const 17))
                (i32.eq (local.get $protocol) (i32.const 6)))
              (i32.eq (local.get $protocol) (i32.const 132)))
          (then
            (local.set $a (i32.load16_u offset=34 (local.get $at)))
            (local.set $b (i32.load16_u offset=36 (local.get $at)))
            (local.set $ports
              (i32.xor
                (i32.xor
                  (i32.shl (i32.add (local.get $a) (local.get $b)) (i32.const 13))
                  (i32.xor (local.get $a) (local.get $b)))
                (local.get $protocol)))
            (if (i32.eq (local.get $protocol) (i32.const 17))
              (then (local.set $sign (i32.add (local.get $b) (i32.const 256)))))))
        (br_if $done (i32.load8_u (i32.add (local.get $signs) (local.get $sign))))
        (local.set $a (i32.load offset=26 align=2 (local.get $at)))
        (local.set $b (i32.load offset=30 align=2 (local.get $at)))
        (local.set $h (i32.add (local.get $a) (local.get $b)))
        (local.set $h
          (i32.xor
            (i32.xor
              (i32.mul
                (i32.xor (local.get $h) (i32.shr_u (local.get $h) (i32.const 15)))
                (i32.const 0x9e3779b1))
              (i32.mul (i32.xor (local.get $a) (local.get $b)) (i32.const 0x85ebca6b)))
            (i32.mul (local.get $ports) (i32.const 0xc2b2ae35))))
        (local.set $h
          (i32.mul (i32.xor (local.get $h) (i32.shr_u (local.get $h) (i32.const 15))) (i32.const 0x846ca68b)))

        ;; What differs from frame to frame. The source port first.
        (local.set $ports
          (i32.and (i32.or (i32.shl (local.tee $v (i32.add
              (i32.load offset=16 (local.get $row))
              (i32.shr_u
                (i32.mul (i32.shr_u (local.get $h) (i32.const 16)) (i32.load offset=20 (local.get $row)))
                (i32.const 16)))) (i32.const 8)) (i32.shr_u (local.get $v) (i32.const 8))) (i32.const 0xffff)))
        (local.set $tos
          (i32.load8_u
            (i32.add
              (i32.add (local.get $tosOf) (i32.load offset=28 (local.get $row)))
              (i32.shr_u (local.get $head) (i32.const 24)))))
        (local.set $udp (i32.and (i32.or (i32.shl (local.tee $v (i32.sub (local.get $total) (i32.const 20))) (i32.const 8)) (i32.shr_u (local.get $v) (i32.const 8))) (i32.const 0xffff)))
        (local.set $total (i32.and (i32.or (i32.shl (local.tee $v (local.get $total)) (i32.const 8)) (i32.shr_u (local.get $v) (i32.const 8))) (i32.const 0xffff)))
        (local.set $id (i32.const 0))
        (if (i32.and (local.get $bits) (i32.const 128))
          (then
            (local.set $place
              (i32.add (local.get $ids) (i32.shl (i32.load offset=24 (local.get $row)) (i32.const 1))))
            (local.set $id
              (i32.and (i32.add (i32.load16_u (local.get $place)) (i32.const 1)) (i32.const 0xffff)))
            (i32.store16 (local.get $place) (local.get $id))
            (local.set $id (i32.and (i32.or (i32.shl (local.tee $v (local.get $id)) (i32.const 8)) (i32.shr_u (local.get $v) (i32.const 8))) (i32.const 0xffff)))))
        (local.set $sum
          (i32.add
            (i32.add
              (i32.load offset=8 (local.get $row))
              (i32.shl (local.get $tos) (i32.const 8)))
            (i32.add (local.get $total) (local.get $id))))
        ;; What is inherited: the don't-fragment bit, and the time to live, 64 where that is zero.
        (local.set $more (i32.const 0))
        (if (i32.and (local.get $bits) (i32.const 48))
          (then
            (if (i32.and (local.get $bits) (i32.const 32))
              (then (local.set $more (i32.and (local.get $middle) (i32.const 0x40)))))
            (if (i32.and (local.get $bits) (i32.const 16))
              (then
                (local.set $more
                  (i32.or
                    (local.get $more)
                    (select
                      (i32.and (local.get $middle) (i32.const 0xff0000))
                      (i32.const 0x400000)
                      (i32.and (local.get $middle) (i32.const 0xff0000)))))))
            (local.set $sum
              (i32.add
                (local.get $sum)
                (i32.add
                  (i32.and (local.get $more) (i32.const 0xffff))
                  (i32.shr_u (local.get $more) (i32.const 16)))))))
        (local.set $sum
          (i32.add
            (i32.and (local.get $sum) (i32.const 0xffff))
            (i32.shr_u (local.get $sum) (i32.const 16))))
        (local.set $sum
          (i32.xor
            (i32.and
              (i32.add (local.get $sum) (i32.shr_u (local.get $sum) (i32.const 16)))
              (i32.const 0xffff))
            (i32.const 0xffff)))

        ;; The header.
        (local.set $all (i32.or (local.get $all) (local.get $bits)))
        (i64.store align=4 (local.get $o) (i64.load offset=64 align=4 (local.get $row)))
        (i64.store offset=8 align=4 (local.get $o)
          (i64.or
            (i64.load offset=72 align=4 (local.get $row))
            (i64.shl (i64.extend_i32_u (local.get $tos)) (i64.const 56))))
        (i64.store offset=16 align=4 (local.get $o)
          (i64.or
            (i64.load offset=80 align=4 (local.get $row))
            (i64.or
              (i64.shl (i64.extend_i32_u (local.get $more)) (i64.const 32))
              (i64.extend_i32_u
                (i32.or (local.get $total) (i32.shl (local.get $id) (i32.const 16)))))))
        (i64.store offset=24 align=4 (local.get $o)
          (i64.or (i64.load offset=88 align=4 (local.get $row)) (i64.extend_i32_u (local.get $sum))))
        (i64.store offset=32 align=4 (local.get $o)
          (i64.or
            (i64.load offset=96 align=4 (local.get $row))
            (i64.or
              (i64.shl (i64.extend_i32_u (local.get $ports)) (i64.const 16))
              (i64.shl (i64.extend_i32_u (local.get $udp)) (i64.const 48)))))
        (i64.store offset=40 align=4 (local.get $o) (i64.load offset=104 align=4 (local.get $row)))
        (if (i32.eq (local.get $length) (i32.const 50))
          (then (i32.store16 offset=48 (local.get $o) (i32.load16_u offset=112 (local.get $row))))
          (else
            ;; Longer: a header's length is 2 modulo 4.
            (local.set $w (i32.const 48))
            (loop $word
              (i32.store align=2
                (i32.add (local.get $o) (local.get $w))
                (i32.load offset=64 (i32.add (local.get $row) (local.get $w))))
              (local.set $w (i32.add (local.get $w) (i32.const 4)))
              (br_if $word (i32.lt_u (i32.add (local.get $w) (i32.const 2)) (local.get $length))))
            (i32.store16
              (i32.add (local.get $o) (local.get $w))
              (i32.load16_u offset=64 (i32.add (local.get $row) (local.get $w))))))

        (i32.store (i32.add (local.get $off) (i32.shl (local.get $f) (i32.const 2))) (local.get $o))
        (i32.store
          (i32.add (local.get $len) (i32.shl (local.get $f) (i32.const 2)))
          (i32.add (local.get $length) (local.get $size)))
        (local.set $i (i32.add (local.get $i) (i32.const 4)))
        (local.set $rowOf (i32.add (local.get $rowOf) (i32.const 4)))
        (br $frame)))
    (i32.store offset=40 (local.get $map) (local.get $all))
    (i32.shr_u (i32.sub (local.get $i) (local.get $frames)) (i32.const 2))))
