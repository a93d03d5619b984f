import { nativeAddon } from '@dynamo-labs/native';

/** The UCX behind the transport `ucx` (libucp.so.0, or the file that `DYNAMO_LABS_LIBUCP` names), or why there is none. Loads it once for the process. */
export function ucxLibrary(): { version: string } | { missing: string } {
  return nativeAddon().ucxLibrary();
}
