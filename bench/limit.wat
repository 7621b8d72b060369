;; The least that any loop over these arrays has to do: move their bytes, and nothing else. Sixteen
;; floats an iteration, as in the kernel. $n is a multiple of 16.
(module
  (import "env" "memory" (memory 1 65536 shared))

  ;; Reads two arrays. Without the exclusive or of all of it, an engine need not read a thing.
  (func (export "read") (param $x i32) (param $y i32) (param $n i32) (result i32)
    (local $end i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $n) (i32.const 2))))
    (loop $next
      (local.set $a (v128.xor (local.get $a)
        (v128.xor (v128.load (local.get $x)) (v128.load (local.get $y)))))
      (local.set $b (v128.xor (local.get $b)
        (v128.xor (v128.load offset=16 (local.get $x)) (v128.load offset=16 (local.get $y)))))
      (local.set $c (v128.xor (local.get $c)
        (v128.xor (v128.load offset=32 (local.get $x)) (v128.load offset=32 (local.get $y)))))
      (local.set $d (v128.xor (local.get $d)
        (v128.xor (v128.load offset=48 (local.get $x)) (v128.load offset=48 (local.get $y)))))
      (local.set $y (i32.add (local.get $y) (i32.const 64)))
      (br_if $next (i32.lt_u
        (local.tee $x (i32.add (local.get $x) (i32.const 64))) (local.get $end))))
    (i32x4.extract_lane 0
      (v128.xor (v128.xor (local.get $a) (local.get $b)) (v128.xor (local.get $c) (local.get $d)))))

  ;; Reads two arrays and writes a third.
  (func (export "write") (param $x i32) (param $y i32) (param $z i32) (param $n i32)
    (local $end i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $n) (i32.const 2))))
    (loop $next
      (local.set $a (v128.xor (v128.load (local.get $x)) (v128.load (local.get $y))))
      (local.set $b
        (v128.xor (v128.load offset=16 (local.get $x)) (v128.load offset=16 (local.get $y))))
      (local.set $c
        (v128.xor (v128.load offset=32 (local.get $x)) (v128.load offset=32 (local.get $y))))
      (local.set $d
        (v128.xor (v128.load offset=48 (local.get $x)) (v128.load offset=48 (local.get $y))))
      (v128.store (local.get $z) (local.get $a))
      (v128.store offset=16 (local.get $z) (local.get $b))
      (v128.store offset=32 (local.get $z) (local.get $c))
      (v128.store offset=48 (local.get $z) (local.get $d))
      (local.set $y (i32.add (local.get $y) (i32.const 64)))
      (local.set $z (i32.add (local.get $z) (i32.const 64)))
      (br_if $next (i32.lt_u
        (local.tee $x (i32.add (local.get $x) (i32.const 64))) (local.get $end))))))
