export type { TokenStream } from './detokenizer.ts';
export type { Prompt } from './encoderThread.ts';
export { PromptEncoder, type PromptEncoderOptions } from './promptEncoder.ts';
export { loadTextCodec, type ChatMessage, type TextCodec } from './textCodec.ts';
export { TextCodecError, type TextCodecErrorCode } from './textCodecError.ts';
