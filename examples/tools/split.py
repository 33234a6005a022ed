def words_of(text):
    return [word.strip(".,;") for word in text.split()]
