export type { TokenStream } from './detokenizer.ts';
export { loadTextCodec, type ChatMessage, type TextCodec } from './textCodec.ts';
export { TextCodecError, type TextCodecErrorCode } from './textCodecError.ts';
