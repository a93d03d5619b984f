export class Progress {
  constructor(stream?: NodeJS.WriteStream);
  begin(step: string, waitsFor: string): void;
  note(step: string, note: string): void;
  end(step: string, result?: string): void;
  fail(step: string): void;
  line(text: string): void;
  stop(): void;
}
