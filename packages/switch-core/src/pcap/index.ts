/**
 * Capture files: pcap and pcapng, read and written, and ports over them. Read in this order: `record` (what a capture
 * says), `reader` (bytes in, records out; the formats are drawn in `pcap-decoder` and `pcapng-decoder`), `writer`
 * (records in, bytes out), `capture-port` (frames that come from and go to files), `port-capture` (what passes a port),
 * `drop-capture` (what did not get through, and why).
 */
export { CapturePort, type CapturePortOptions } from './capture-port.ts'
export { DropCapture } from './drop-capture.ts'
export { PcapWriter, type PcapWriterOptions } from './pcap-writer.ts'
export { type InterfaceToWrite, PcapngWriter } from './pcapng-writer.ts'
export { PortCapture } from './port-capture.ts'
export { CaptureReader, type CaptureReaderOptions, detectCapture, openCapture } from './reader.ts'
export {
  CaptureError,
  type CaptureFormat,
  type CaptureInterface,
  type Direction,
  LinkType,
  type PacketRecord,
} from './record.ts'
export { type CaptureSink, CaptureWriter, type CaptureWriterOptions, type PacketToWrite } from './writer.ts'
