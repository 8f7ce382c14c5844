"""The recorded commands, in the order in which they run: each sees the files that the ones before it wrote."""

from __future__ import annotations

__all__ = ["COMMANDS"]

_HLS = "optimize --target hls4ml --inputs x.npz --json"
_TRT = "optimize conv.onnx --target tensorrt --inputs image.npz --json"
_PORTS = "--http-port 0 --grpc-port 0 --metrics-port 0"

# One command a line, split as a shell would split it; no shell runs.
COMMANDS = [
    line
    for line in f"""
--version
inspect mlp.onnx --json
inspect double.onnx --json
inspect conv.onnx
inspect notes.txt --json
inspect cut.onnx --json
inspect absent.onnx --json
sample mlp.onnx -o s1.npz --json
sample mlp.onnx -o s2.npz --size n=5 --json
sample nets.py:mlp -o s3.npz --inputs torch.npz --json
sample conv.onnx -o s4.npz --size m=5 --json
convert nets.py:mlp --inputs torch.npz --inputs torch_few.npz -o torch_mlp.onnx --json
convert nets.py:mlp --inputs x.npz --dynamic x:0=event --outputs score --input-name input=x -o renamed.onnx --json
convert nets.py:mlp --inputs x.npz -o no.onnx --json
convert nets.py:edges --inputs event_0.npz --inputs event_1.npz -o edges.onnx --json
convert nets.py:branch --inputs x.npz --inputs x_few.npz -o no.onnx --json
convert nets.py:dense --inputs x.npz -o keras_dense.onnx --json
convert nets.py:dense --inputs x.npz --minimum x_0=2 -o keras_dense_2.onnx --json
convert nets.py:function -o function.onnx --json
convert nets.py:forest --inputs x.npz -o forest.onnx --json
convert nets.py:absent -o no.onnx --json
convert absent.py:build -o no.onnx --json
convert mlp.onnx --opset 18 -o upgraded.onnx --json
convert mlp.onnx --opset 12 -o no.onnx --json
convert mlp.onnx --triton-release 23.05 -o old.onnx --json
convert nets.py:mlp --inputs torch.npz -o nowhere/deep/no.onnx --json
validate mlp.onnx mlp.onnx --inputs x.npz --json
validate mlp.onnx shifted.onnx --inputs x.npz --json
validate mlp.onnx shifted.onnx --inputs x.npz --atol 0.1 --json
validate mlp.onnx shifted.onnx --inputs x.npz --bisect --json
validate mlp.onnx shifted.onnx --inputs x.npz --save-worst worst.npz --report report.md
validate mlp.onnx upgraded.onnx old.onnx --inputs x.npz --report report.html --json
validate nets.py:mlp torch_mlp.onnx --inputs torch.npz --json
validate nets.py:mlp torch_mlp.onnx --inputs torch.npz --reference-precision fp64 --json
validate mlp.onnx upgraded.onnx --inputs x.npz --tolerance-from fp64 --json
validate mlp.onnx upgraded.onnx --inputs labelled.npz --extra-column is_signal --extra-column energy --label is_signal --score y:0 --json
validate mlp.onnx upgraded.onnx --inputs labelled.npz --extra-column is_signal --extra-column energy --truth energy --prediction y:1 --json
validate mlp.onnx double.onnx --inputs x.npz --json
validate mlp.onnx conv.onnx --inputs x.npz --json
validate mlp.onnx mlp.onnx --inputs unknown_name.npz --json
validate mlp.onnx mlp.onnx --inputs narrow.npz --json
validate mlp.onnx mlp.onnx --inputs absent.npz --json
validate mixes_rows.onnx mixes_rows.onnx --inputs x.npz --json
optimize mlp.onnx --target onnxruntime --inputs x.npz -o timed.onnx
optimize edges.onnx --target onnxruntime --threads 1 --inputs event_0.npz -o timed_edges.onnx
optimize mlp.onnx --target onnxruntime --precision fp16 --inputs x.npz --atol 0.05 -o half.onnx --json
optimize mlp.onnx --target onnxruntime --precision int8 --inputs x.npz --atol 0.5 -o int8.onnx --json
optimize mlp.onnx --target onnxruntime --precision int8 --inputs x.npz --rtol 0 --atol 1e-9 -o no.onnx --json
optimize mlp.onnx --target nowhere --inputs x.npz -o no.onnx --json
{_TRT} --triton-release 24.05 -o no_kit
{_TRT} --tensorrt 8.6 -o kit
inspect kit --json
{_HLS} mlp.onnx --no-csim -o fpga
{_HLS} mlp.onnx --no-csim --precision ap_fixed<18,8> -o fpga18
{_HLS} mlp.onnx --no-csim --strategy distributed_arithmetic --no-rtl -o logic
{_HLS} forest.onnx --no-csim -o trees
inspect fpga --json
validate mlp.onnx fpga --inputs x.npz --json
validate mlp.onnx fpga18@emulator --inputs x.npz --atol 0.05 --json
package mlp.onnx --repository models --inputs x.npz --json
package mlp.onnx --repository models --inputs x.npz --version 1 --json
package shifted.onnx --repository models --name mlp --inputs x.npz --version 7 --json
package mixes_rows.onnx --repository models --inputs x.npz --max-batch-size 8 --json
package mixes_rows.onnx --repository models --inputs x.npz --max-batch-size 0 --json
package nets.py:edges --repository models --name edges --inputs event_0.npz --inputs event_1.npz --json
package nets.py:dense --repository models --name dense --inputs x.npz --json
package fpga --repository emulated --name fpga --inputs x.npz --json
package kit --repository engines --json
package notes.txt --repository models --json
inspect models/mlp --json
inspect models/mlp/7
sample models/mlp -o s5.npz --json
validate mlp.onnx models/mlp/1 --inputs x.npz --json
validate mlp.onnx models/mlp --inputs x.npz --json
serve-local models --replay {_PORTS} --json
serve-local emulated --replay {_PORTS} --json
serve-local absent --replay {_PORTS} --json
serve-local notes.txt --replay {_PORTS} --json
doctor --json
""".splitlines()
    if line
]
