# frozen_string_literal: true

# Required by RSpec before the specs are loaded: says what happens, line by line, in the file that
# BUNDLE_REPORT names. It is no formatter, because one formatter more replaces the default one; it
# listens to what RSpec tells its reporter. The id of an example is its file and full description.
#
# Nothing here raises into the suite: the first error of the recording ends the recording.

require 'json'

module BundleReport
  LONGEST_TEXT = 1 << 18

  # A file to which whole lines of JSON are appended.
  class Stream
    attr_reader :selection

    def initialize(told)
      settings = JSON.parse(told)
      @selection = read(settings['selection'])
      @file = File.open(settings['stream'], File::WRONLY | File::APPEND)
      @pid = Process.pid
    rescue StandardError
      @file = nil
    end

    def write(line)
      return if @file.nil? || Process.pid != @pid

      line[:at] ||= (Process.clock_gettime(Process::CLOCK_REALTIME) * 1000).to_i
      @file.syswrite("#{JSON.generate(sound(line.compact))}\n")
    rescue StandardError => e
      fail_with(e)
    end

    def fail_with(error)
      file, @file = @file, nil
      file&.syswrite("#{JSON.generate({ e: 'failed', why: "#{error.class}: #{error.message}" })}\n")
    rescue StandardError
      nil # its end is missing, and that is seen
    end

    # Why an example is left out; nil where it is to run.
    def left_out(id)
      return nil if @selection.nil?
      return @selection[:only].key?(id) ? nil : 'deselected' if @selection[:only]

      @selection[:deselect].key?(id) ? 'passing' : nil
    end

    private

    # A value on its way into a line: UTF-8, and not without end.
    def sound(value)
      case value
      when String
        text = value.encode('UTF-8', invalid: :replace, undef: :replace).scrub
        text.length > LONGEST_TEXT ? "#{text[0, LONGEST_TEXT]}\n[cut]" : text
      when Array then value.map { |one| sound(one) }
      when Hash then value.transform_values { |one| sound(one) }
      else value
      end
    end

    def read(path)
      return nil if path.nil?

      document = JSON.parse(File.read(path, encoding: 'UTF-8'))
      only = document['only']
      { deselect: set(document['deselect'] || []), only: only && set(only) }
    end

    def set(ids)
      ids.to_h { |id| [id, true] }
    end
  end

  # What is said of a run.
  class Recorder
    def initialize(stream)
      @stream = stream
      @ids = {}.compare_by_identity
      @groups = []
      @left = { 'passing' => [], 'deselected' => [] }
    end

    %i[start group_started group_finished example_started example_finished error stop].each do |name|
      define_method(name) do |*words|
        send("#{name}!", *words)
      rescue StandardError => e
        @stream.fail_with(e)
      end
    end

    # Leave out the examples that are not to run; all of them run where something goes wrong.
    def keep(examples)
      return examples if @stream.selection.nil?

      examples.reject do |example|
        why = @stream.left_out(id(example))
        @left[why] << id(example) if why && !@left[why].include?(id(example))
        why
      end
    rescue StandardError => e
      @stream.fail_with(e)
      examples
    end

    private

    def start!
      return if @begun

      @begun = true
      configuration = RSpec.configuration
      shuffled = configuration.respond_to?(:seed_used?) && configuration.seed_used?
      @stream.write({ e: 'begin', runner: 'rspec', version: RSpec::Core::Version::STRING,
                      rootdir: Dir.pwd, seed: shuffled ? configuration.seed : nil, shuffled: shuffled,
                      capture: 'no' })
      collected(RSpec.world.ordered_example_groups.flat_map(&:descendant_filtered_examples))
    end

    def collected(examples)
      examples.map { |one| id(one) }.each_slice(1000) { |ids| @stream.write({ e: 'collected', ids: ids }) }
      @left.each do |why, left|
        left.each_slice(1000) { |ids| @stream.write({ e: 'collected', left: why, ids: ids }) }
      end
    end

    def group_started!(group)
      @groups.push(group)
    end

    def group_finished!(_group)
      @groups.pop
    end

    def example_started!(example)
      @stream.write({ e: 'test', id: id(example), file: file(example),
                      line: example.metadata[:line_number] })
    end

    def example_finished!(example)
      result = example.execution_result
      outcome, reason = judge(result)
      found = result.exception ? failures(result.exception) : []
      found = [] if outcome == 'xfailed' || outcome == 'skipped'
      @stream.write({ e: 'done', id: id(example), outcome: outcome, reason: reason,
                      ms: (result.run_time || 0) * 1000, failures: found })
    end

    def error!(exception, context)
      start!
      found = context.to_s[/while loading (.+?)\.?\s*\z/, 1]
      file = found || (@groups.last && @groups.last.metadata[:file_path]) || ''
      words = [context.to_s.strip, *texts(exception)].join("\n")
      @stream.write({ e: 'broken', id: plain(file),
                      failures: [{ type: exception.class.name, message: exception.message.to_s,
                                   traceback: words }] })
    end

    def stop!
      start!
      @stream.write({ e: 'end' })
    end

    def judge(result)
      case result.status
      when :passed then ['passed', nil]
      when :pending
        [result.example_skipped? ? 'skipped' : 'xfailed', result.pending_message]
      else ['failed', nil]
      end
    end

    def failures(exception)
      all = exception.respond_to?(:all_exceptions) ? exception.all_exceptions : [exception]
      all.map do |one|
        place = (one.backtrace || []).map { |line| line[/\A(.+?):(\d+)/] && [$1, $2.to_i] }
        own = place.compact.find { |path, _| path.start_with?(Dir.pwd) && !path.include?('/gems/') }
        { type: one.class.name, message: one.message.to_s, traceback: texts(one).join("\n"),
          file: own && plain(own[0].delete_prefix("#{Dir.pwd}/")), line: own && own[1] }.compact
      end
    end

    def texts(exception)
      ["#{exception.class.name}: #{exception.message}", *(exception.backtrace || []).map { |line| "  #{line}" }]
    end

    # Kept from the start: a description that RSpec makes of the matchers comes at the end.
    def id(example)
      @ids[example] ||= begin
        text = example.full_description.to_s
        text = "#{text.strip} [#{example.metadata[:scoped_id]}]" if example.metadata[:description_args].empty?
        "#{file(example)}::#{text}".encode('UTF-8', invalid: :replace, undef: :replace).scrub
      end
    end

    def file(example)
      plain(example.metadata[:rerun_file_path] || example.file_path)
    end

    def plain(path)
      path.to_s.delete_prefix('./')
    end
  end

  # In front of what RSpec's reporter does; each passes on first.
  module Listening
    def start(*)
      super.tap { BundleReport.recorder.start }
    end

    def example_group_started(group)
      super.tap { BundleReport.recorder.group_started(group) }
    end

    def example_group_finished(group)
      super.tap { BundleReport.recorder.group_finished(group) }
    end

    def example_started(example)
      super.tap { BundleReport.recorder.example_started(example) }
    end

    %i[example_passed example_failed example_pending].each do |ended|
      define_method(ended) do |example|
        super(example).tap { BundleReport.recorder.example_finished(example) }
      end
    end

    def notify_non_example_exception(exception, context)
      super.tap { BundleReport.recorder.error(exception, context) }
    end

    def stop
      super.tap { BundleReport.recorder.stop }
    end
  end

  # In front of what RSpec's own filters leave.
  module Choosing
    def prune(examples)
      BundleReport.recorder.keep(super)
    end
  end

  class << self
    attr_reader :recorder

    def install(told)
      require 'rspec/core'
      @recorder = Recorder.new(Stream.new(told))
      RSpec::Core::Reporter.prepend(Listening)
      RSpec::Core::FilterManager.prepend(Choosing)
    rescue StandardError, LoadError
      nil # the suite runs as it is
    end
  end
end

BundleReport.install(ENV.delete('BUNDLE_REPORT').to_s)
