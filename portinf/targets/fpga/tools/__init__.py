"""The tools of others that build for an FPGA: hls4ml, conifer, da4ml, HGQ2, rule4ml, compilers and simulators."""
