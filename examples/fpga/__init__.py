"""Three small networks of the trigger, trained, brought to fixed point and served as an FPGA would serve them."""
