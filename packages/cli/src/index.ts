/**
 * The command `l2l3`. Read in this order: `program` (commands and options), `up`, `replay`, `show`, `demo` (what they
 * do), `world` (a topology that runs and can be asked), `control` (the socket), `tables` and `output`.
 */
export { type DemoOptions, demo } from './demo.ts'
export { run } from './program.ts'
